/* SPDX-License-Identifier: BSD-2-Clause
 *
 * enter NEWROOT COMMAND [ARGUMENT...]: run a command with NEWROOT as its root directory, in namespaces of its own.
 *
 * The real system is mounted at NEWROOT/real, read-only; nobody outside sees that mount, and it ends with its last
 * process. So do all processes inside, by kill -9 and at once, when standard input of this program ends, at SIGTERM, or
 * when this program ends: whoever started it needs only to close a pipe, or to die. Exits 71 where namespaces are not allowed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define EX_OSERR 71

/* From <sys/mount.h>, which cannot be included beside <linux/mount.h>. */
int mount(const char *, const char *, const char *, unsigned long, const void *);

static void give_up(const char *what) {
    fprintf(stderr, "enter: %s: %s\n", what, strerror(errno));
    exit(EX_OSERR);
}

static void write_file(const char *path, const char *text) {
    int file = open(path, O_WRONLY);
    if (file < 0 || write(file, text, strlen(text)) < 0)
        give_up(path);
    close(file);
}

/* Become the owner of a user namespace, who may mount there; the user stays who it is. */
static void own_namespace(void) {
    char uids[64], gids[64];
    snprintf(uids, sizeof uids, "%d %d 1", (int)geteuid(), (int)geteuid());
    snprintf(gids, sizeof gids, "%d %d 1", (int)getegid(), (int)getegid());
    if (unshare(CLONE_NEWUSER) < 0)
        give_up("user namespace");
    write_file("/proc/self/setgroups", "deny");
    write_file("/proc/self/gid_map", gids);
    write_file("/proc/self/uid_map", uids);
}

static void run_inside(const char *newroot, char **command) {
    struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};
    int nothing = open("/dev/null", O_RDWR);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(nothing, 0);
    if (chdir(newroot) < 0)
        give_up(newroot);
    if (mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) < 0 || mount("/", "real", NULL, MS_BIND | MS_REC, NULL) < 0)
        give_up("mount");
    if (syscall(SYS_mount_setattr, AT_FDCWD, "real", AT_RECURSIVE, &read_only, sizeof read_only) < 0)
        give_up("mount read-only");
    mount("proc", "proc", "proc", 0, NULL); /* containers may refuse it, and sshd does without */
    if (chroot(".") < 0)
        give_up("chroot");
    execv(command[0], command);
    give_up(command[0]);
}

static pid_t child;

static void end(int signal) {
    (void)signal;
    kill(child, SIGKILL);
}

int main(int argc, char **argv) {
    char byte;
    int status = 0;

    if (argc < 3) {
        fputs("usage: enter NEWROOT COMMAND [ARGUMENT...]\n", stderr);
        return EX_OSERR;
    }
    if (geteuid() != 0)
        own_namespace();
    if (unshare(CLONE_NEWNS | CLONE_NEWPID) < 0)
        give_up("mount namespace");
    child = fork();
    if (child < 0)
        give_up("fork");
    if (child == 0)
        run_inside(argv[1], argv + 2);
    signal(SIGTERM, end);
    int handle = (int)syscall(SYS_pidfd_open, child, 0);
    struct pollfd fds[] = {{.fd = 0, .events = POLLIN}, {.fd = handle, .events = POLLIN}};
    do
        poll(fds, 2, -1);
    while (!fds[1].revents && !(fds[0].revents && read(0, &byte, 1) <= 0));
    /* The first process of a pid namespace takes all others with it, and is waited for until they are gone. */
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
