/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Every command of the fake FreeBSD host, seen from inside its root directory: one program under many names.
 *
 * It hands its arguments to the resident fake over a unix socket, its standard input when the fake asks for it, and
 * gives back what the fake answers. A frame on the socket is one letter, the length (4 bytes, big-endian) and as many
 * bytes: from here A (arguments, each ended by NUL), I (input), E (end of input); from the fake W (wants input),
 * O (standard output), R (standard error), X (exit status, one byte).
 *
 * Where sshd or what it started calls (SSH_CONNECTION is set), sh and the names in /libexec/real are the real
 * programs: Ansible and pyinfra need them. Warden starts its shell by `env -i`, so its commands come here without.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SOCKET "/var/run/fake.sock"
#define CONVERSATIONS "/var/run/conversations"
#define REAL_SH "/libexec/sh"
#define REAL_PROGRAMS "/libexec/real"

#define EX_SOFTWARE 70
#define HEADER 5
#define CHUNK 65536

static void give_up(const char *what) {
    fprintf(stderr, "the rig: %s: %s\n", what, strerror(errno));
    exit(EX_SOFTWARE);
}

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void write_all(int fd, const char *data, size_t length) {
    while (length > 0) {
        ssize_t written = write(fd, data, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return; /* nobody reads it; a command goes on without an audience */
        data += written;
        length -= (size_t)written;
    }
}

static void note(const char *line) {
    int log = open(CONVERSATIONS, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (log < 0)
        give_up(CONVERSATIONS);
    write_all(log, line, strlen(line));
    close(log);
}

/* Run the real shell on a script that comes by standard input, and note when its input was there and when it ended. */
static int converse(char **argv) {
    struct pollfd input = {.fd = 0, .events = POLLIN};
    int available = 0, status = 0;
    char line[80];

    while (poll(&input, 1, -1) < 0 && errno == EINTR)
        ;
    ioctl(0, FIONREAD, &available); /* an end of input is readable too, and begins nothing */
    long long began = now();
    if (available > 0) {
        snprintf(line, sizeof line, "%lld\n", began);
        note(line);
    }
    pid_t child = fork();
    if (child < 0)
        give_up("fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* who ends this program means the shell */
        execv(REAL_SH, argv);
        give_up(REAL_SH);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (available > 0) {
        snprintf(line, sizeof line, "%lld %lld\n", began, now());
        note(line);
    }
    if (WIFSIGNALED(status)) {
        signal(WTERMSIG(status), SIG_DFL);
        raise(WTERMSIG(status));
    }
    return WEXITSTATUS(status);
}

static void put_header(char *frame, char kind, size_t length) {
    uint32_t size = htonl((uint32_t)length);
    frame[0] = kind;
    memcpy(frame + 1, &size, sizeof size);
}

static int reach_fake(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = SOCKET};
    int fake = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fake < 0 || connect(fake, (struct sockaddr *)&address, sizeof address) < 0)
        give_up(SOCKET);
    return fake;
}

static void send_arguments(int fake, int argc, char **argv) {
    size_t length = 0;
    for (int i = 0; i < argc; i++)
        length += strlen(argv[i]) + 1;
    char *frame = malloc(HEADER + length), *at = frame + HEADER;
    if (frame == NULL)
        give_up("malloc");
    put_header(frame, 'A', length);
    for (int i = 0; i < argc; i++)
        at = stpcpy(at, argv[i]) + 1;
    for (size_t sent = 0; sent < HEADER + length;) {
        ssize_t written = send(fake, frame + sent, HEADER + length - sent, MSG_NOSIGNAL);
        if (written < 0)
            give_up(SOCKET);
        sent += (size_t)written;
    }
    free(frame);
}

/* What is being received: the frame's kind and how much of it is still to come. */
static char header[HEADER];
static size_t have, rest;
static int wants_input;

/* Pass on what the fake sent. Exits with the command's status when that is there. */
static void receive(int fake) {
    static char data[CHUNK];
    ssize_t length = recv(fake, data, sizeof data, 0);
    if (length < 0 && errno == EINTR)
        return;
    if (length < 0)
        give_up(SOCKET);
    if (length == 0) {
        fputs("the rig: the fake host is gone\n", stderr);
        exit(EX_SOFTWARE);
    }
    for (char *at = data, *end = data + length; at < end;) {
        if (have < HEADER) {
            header[have++] = *at++;
            if (have < HEADER)
                continue;
            uint32_t size;
            memcpy(&size, header + 1, sizeof size);
            rest = ntohl(size);
        }
        size_t part = (size_t)(end - at) < rest ? (size_t)(end - at) : rest;
        if (header[0] == 'X' && part > 0)
            exit((unsigned char)*at);
        if (header[0] == 'W')
            wants_input = 1;
        if (header[0] == 'O' || header[0] == 'R')
            write_all(header[0] == 'O' ? 1 : 2, at, part);
        at += part;
        rest -= part;
        if (rest == 0)
            have = 0;
    }
}

/* Ask the fake. Input and answer are carried side by side: neither may have to wait for the other. */
static void ask_fake(int argc, char **argv) {
    static char frame[HEADER + CHUNK];
    size_t pending = 0, sent = 0;
    int ended = 0, fake = reach_fake();

    send_arguments(fake, argc, argv);
    for (;;) {
        struct pollfd fds[] = {
            {.fd = fake, .events = POLLIN | (pending ? POLLOUT : 0)},
            {.fd = wants_input && !ended && !pending ? 0 : -1, .events = POLLIN},
        };
        if (poll(fds, 2, -1) < 0)
            continue;
        if (fds[0].revents & (POLLIN | POLLHUP | POLLERR))
            receive(fake);
        if (fds[1].revents) {
            ssize_t length = read(0, frame + HEADER, CHUNK);
            ended = length <= 0;
            put_header(frame, ended ? 'E' : 'I', ended ? 0 : (size_t)length);
            pending = HEADER + (ended ? 0 : (size_t)length);
            sent = 0;
        }
        if (pending) {
            ssize_t written = send(fake, frame + sent, pending - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (written > 0)
                sent += (size_t)written;
            if (sent == pending)
                pending = 0;
        }
    }
}

int main(int argc, char **argv) {
    if (argc < 1)
        return EX_SOFTWARE;
    const char *slash = strrchr(argv[0], '/'), *name = slash ? slash + 1 : argv[0];
    int from_sshd = getenv("SSH_CONNECTION") != NULL;

    name += name[0] == '-'; /* a login shell */
    if (strcmp(name, "sh") == 0) {
        if (argc > 1 && strcmp(argv[1], "-s") == 0)
            return converse(argv);
        if (from_sshd) {
            execv(REAL_SH, argv);
            give_up(REAL_SH);
        }
    } else if (from_sshd) {
        char path[256];
        snprintf(path, sizeof path, REAL_PROGRAMS "/%s", name);
        execv(path, argv); /* a name that is not there is FreeBSD's own */
    }
    ask_fake(argc, argv);
}
