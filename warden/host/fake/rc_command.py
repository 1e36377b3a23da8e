# SPDX-License-Identifier: BSD-2-Clause
"""What run_rc_command of rc.subr(8) does with a verb."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.host.fake.rcsubr_state import (
    PREFIXES,
    check_yes_no,
    err,
    evaluate,
    running,
    source,
    usage,
    value_of,
    wait_for_pids,
    warn,
)
from warden.host.fake.shell_io import may
from warden.host.fake.shell_state import ExitError, ShellState

if TYPE_CHECKING:
    from collections.abc import Callable

ALWAYS = ("rcvar", "stop", "delete", "enable", "describe", "status")
"""The verbs that a service need not be enabled for; `stop` only while it runs."""


class Run:
    """One call of run_rc_command."""

    def __init__(self, shell: ShellState, argv: list[str]) -> None:
        self.shell = shell
        self.verb = argv[1] if len(argv) > 1 else ""
        self.extra = " ".join(argv[2:])
        self.name = self.get("name")
        self.rcvar = self.get("rcvar")
        self.prefix = ""
        self.pids: list[int] = []

    def get(self, name: str) -> str:
        """Give a variable that the script set."""
        return self.shell.variables.get(name, "")

    def own(self, suffix: str) -> str:
        """Give the service's own setting: `${name}_suffix`."""
        return value_of(self.shell, f"{self.name}_{suffix}")

    def write(self, text: str) -> None:
        """Write a line."""
        self.shell.write(f"{text}\n")

    def run(self) -> int:
        """Do what the verb says; give the exit status."""
        shell = self.shell
        if not self.name:
            return err(shell, ["err", "3", "run_rc_command: $name is not set."])
        self.take_prefix()
        override = self.own("program")
        command = override or self.get("command")
        shell.assign("command", command)
        process_name = self.get("procname") or command
        keywords = [
            "start",
            "stop",
            "restart",
            "rcvar",
            "enable",
            "disable",
            "delete",
            "enabled",
            "describe",
            "extracommands",
        ]
        keywords += self.get("extra_commands").split()
        if process_name:
            keywords += ["status", "poll"]
        elif self.get("status_cmd"):
            keywords.append("status")
        if not self.verb:
            return usage(shell, keywords)
        if self.verb == "enabled":
            return 0 if check_yes_no(shell, self.rcvar) else 1
        self.settle()
        if process_name:
            self.pids = running(shell, process_name, self.get("pidfile"), self.get("command_interpreter"))
        shell.assign("rc_pid", " ".join(map(str, self.pids)))
        if self.verb not in keywords:
            shell.write(f"{shell.arg0}: unknown directive '{self.verb}'.\n", fd=2)
            return usage(shell, keywords)
        return self.dispatch()

    def take_prefix(self) -> None:
        """Take `one`, `force`, `fast` or `quiet` off the verb."""
        shell = self.shell
        self.prefix = next((prefix for prefix in PREFIXES if self.verb.startswith(prefix)), "")
        self.verb = self.verb.removeprefix(self.prefix)
        shell.assign("rc_arg", self.verb)
        shell.assign("rc_extra_args", self.extra)
        if self.prefix == "fast":
            shell.assign("rc_fast", "yes")
        if self.prefix == "force":
            shell.assign("rc_force", "yes")
        if self.prefix in {"fast", "quiet"}:
            shell.assign("rc_quiet", "yes")
        if self.prefix in {"force", "one"} and self.rcvar:
            evaluate(shell, f"{self.rcvar}=YES")

    def settle(self) -> None:
        """Work out the settings that every verb knows."""
        shell = self.shell
        shell.assign("rc_flags", self.get("flags") or self.own("flags"))
        env_file = self.own("env_file")
        if env_file and shell.call.files.exists(shell.call.path(env_file), root=shell.call.root):
            before = set(shell.variables)
            source(shell, env_file)
            shell.exported |= set(shell.variables) - before
        for option in self.own("svcj_options").split():
            self.write(f"{self.name}: unknown service jail option: {option}")

    def dispatch(self) -> int:
        """Run the verb's own command, or what is usual for it."""
        shell = self.shell
        needed = self.verb not in ALWAYS or (self.verb == "stop" and not self.pids)
        if self.rcvar and needed and not check_yes_no(shell, self.rcvar):
            if self.verb == "start":
                self.offcmd()
            if not self.get("rc_quiet"):
                self.write(
                    f"Cannot '{self.verb}' {self.name}. Set {self.rcvar} to YES in /etc/rc.conf"
                    f" or use 'one{self.verb}' instead of '{self.verb}'."
                )
            return 0
        if self.verb == "start" and self.pids and not self.get("rc_fast"):
            if not self.get("rc_quiet"):
                shell.write(f"{self.name} already running?  (pid={self.get('rc_pid')}).\n", fd=2)
            return 1
        own = self.get(f"{self.verb}_cmd")
        if own:
            return self.custom(own)
        usual: dict[str, Callable[[], int]] = {
            "start": self.start,
            "stop": self.stop,
            "restart": self.restart,
            "reload": self.reload,
            "status": self.status,
            "poll": self.poll,
            "rcvar": self.show_rcvar,
            "enable": lambda: self.switch("YES", "enabled"),
            "disable": lambda: self.switch("NO", "disabled"),
            "delete": self.delete,
            "describe": lambda: self.show(self.get("desc")),
            "extracommands": lambda: self.show(self.get("extra_commands"), always=True),
        }
        run = usual.get(self.verb)
        return run() if run is not None else usage(shell, [])

    def offcmd(self) -> None:
        """Run what a service that is not enabled has for its start."""
        offcmd = self.own("offcmd")
        if offcmd:
            self.export_env()
            evaluate(self.shell, f"{offcmd} {self.extra}")

    def export_env(self) -> None:
        """Hand the service's environment on to its commands."""
        environment = self.own("env")
        if environment:
            evaluate(self.shell, f"export -- {environment}")

    def custom(self, command: str) -> int:
        """Run the script's own command for the verb, between what comes before and after it."""
        self.export_env()
        if self.verb in {"start", "restart", "reload"}:
            self.setup()
        if not self.before():
            return 1
        if self.run_it(f"{command} {self.extra}") != 0:
            return 1
        return self.after()

    def setup(self) -> None:
        """Run the service's setup command."""
        setup = self.own("setup")
        if setup and evaluate(self.shell, setup) != 0:
            warn(self.shell, f"failed to setup {self.name}")

    def before(self) -> bool:
        """Check what a start needs and run the verb's precmd; tell whether to go on."""
        if self.verb == "start" and not self.has_required():
            return False
        precmd = self.get(f"{self.verb}_precmd")
        if precmd and evaluate(self.shell, f"{precmd} {self.extra}") != 0 and not self.get("rc_force"):
            return False
        if self.verb == "start":
            return all(self.load_module(module) for module in self.get("required_modules").split())
        return True

    def has_required(self) -> bool:
        """Check the variables, folders and files that the script names."""
        shell = self.shell
        problems = [
            f"${name} is not enabled." for name in self.get("required_vars").split() if not check_yes_no(shell, name)
        ]
        problems += [
            f"{name} is not a directory."
            for name in self.get("required_dirs").split()
            if not shell.call.files.is_dir(shell.call.path(name), root=shell.call.root)
        ]
        for name in self.get("required_files").split():
            node = shell.call.files.lookup(shell.call.path(name), root=shell.call.root)
            if node is None or not may(shell.call, node, 4):
                problems.append(f"{name} is not readable.")
        if problems:
            warn(shell, problems[0])
        return not problems or bool(self.get("rc_force"))

    def load_module(self, word: str) -> bool:
        """Load a kernel module that the script needs: `file`, `file:module` or `file~pattern`."""
        name = word.replace("~", ":").partition(":")[0]
        if self.shell.named(["kldload", "-n", name], ()) != 0:
            warn(self.shell, f"Unable to load kernel module {name}")
            return bool(self.get("rc_force"))
        return True

    def after(self) -> int:
        """Run the verb's postcmd; give its exit status."""
        postcmd = self.get(f"{self.verb}_postcmd")
        return evaluate(self.shell, f"{postcmd} {self.extra}") if postcmd else 0

    def run_it(self, command: str) -> int:
        """Run a command under the service's umask; a failure counts only without `force`."""
        shell = self.shell
        before = shell.call.umask
        umask = self.own("umask")
        if umask:
            shell.named(["umask", umask], ())
        status = evaluate(shell, command)
        shell.named(["umask", f"{before:04o}"], ())
        return 0 if self.get("rc_force") else status

    def start(self) -> int:
        """Start the service's command."""
        shell = self.shell
        command = self.get("command")
        if shell.named(["test", "-x", command], ()) != 0:
            warn(shell, f"run_rc_command: cannot run {command}")
            return 1
        self.setup()
        if not self.before():
            warn(shell, f"failed precmd routine for {self.name}")
            return 1
        if not self.get("rc_quiet"):
            self.write(f"Starting {self.name}.")
        if self.own("chroot") or self.own("svcj").upper() in {"YES", "ON", "TRUE", "1"}:
            raise shell.call.unsupported(f"{self.name}_chroot or {self.name}_svcj in {shell.arg0}")
        if self.run_it(self.full_command(command)) != 0:
            warn(shell, f"failed to start {self.name}")
            return 1
        return self.after()

    def full_command(self, command: str) -> str:
        """Put the command together with all that it is wrapped in."""
        environment, user, nice, chdir = self.own("env"), self.own("user"), self.own("nice"), self.own("chdir")
        line = f"{command} {self.get('rc_flags')} {self.get('command_args')}"
        if self.own("fib"):
            line = f"setfib -F {self.own('fib')} {line}"
        if environment:
            line = f"env {environment} {line}"
        if user and user != self.shell.call.user:
            line = f"su -m {user} -c 'sh -c \"{line}\"'"
        elif nice:
            line = f'sh -c "{line}"'
        if nice:
            line = f"nice -n {nice} {line}"
        if self.own("prepend"):
            line = f"{self.own('prepend')} {line}"
        change = f"cd {chdir} && " if chdir else ""
        return f"{change}limits -C {self.own('login_class') or 'daemon'} {self.own('limits')} {line}"

    def signal(self, name: str) -> int:
        """Send a signal to the service's processes."""
        command = f"kill -{name} {self.get('rc_pid')}"
        user = self.own("user")
        if user and user != self.shell.call.user:
            command = f"su -m {user} -c 'sh -c \"{command}\"'"
        return self.run_it(command)

    def not_running(self) -> int:
        """Say that there is nothing to stop."""
        pidfile = self.get("pidfile")
        self.shell.write(f"{self.name} not running?{f' (check {pidfile}).' if pidfile else ''}\n", fd=2)
        return 1

    def stop(self) -> int:
        """End the service's processes."""
        if not self.pids:
            return 0 if self.get("rc_fast") else self.not_running()
        if not self.before():
            return 1
        self.write(f"Stopping {self.name}.")
        if self.signal(self.get("sig_stop") or "TERM") != 0:
            return 1
        # a process takes a moment to end, so rc.subr always finds something to wait for (session 06)
        self.write(f"Waiting for PIDS: {self.get('rc_pid')}.")
        return self.after()

    def reload(self) -> int:
        """Tell the service's processes to read their configuration again."""
        if not self.pids:
            return self.not_running()
        self.setup()
        if not self.before() or self.signal(self.get("sig_reload") or "HUP") != 0:
            return 1
        return self.after()

    def restart(self) -> int:
        """Stop and start, each in a subshell."""
        self.setup()
        if not self.before():
            return 1
        status = 0
        for verb in ("stop", "start"):
            inner = self.shell.copy()
            try:
                status = Run(inner, ["run_rc_command", f"{self.prefix}{verb}", *self.extra.split()]).run()
            except ExitError as end:
                status = end.status
        if status != 0 and not self.get("rc_force"):
            return 1
        return self.after()

    def status(self) -> int:
        """Say whether the service runs."""
        if not self.before():
            return 1
        if not self.pids:
            self.write(f"{self.name} is not running.")
            return 1
        self.write(f"{self.name} is running as pid {self.get('rc_pid')}.")
        return self.after()

    def poll(self) -> int:
        """Wait for the service to end."""
        if not self.before():
            return 1
        wait_for_pids(self.shell, ["wait_for_pids", *map(str, self.pids)])
        return self.after()

    def show(self, text: str, *, always: bool = False) -> int:
        """Write a text, where there is one."""
        if text or always:
            self.write(text)
        return 0

    def show_rcvar(self) -> int:
        """Write the service's rc.conf variables."""
        desc = self.get("desc")
        self.write(f"# {self.name} : {desc}" if desc else f"# {self.name}")
        self.write("#")
        for name in dict.fromkeys(f"{self.rcvar} {self.get('rcvars')}".split()):
            self.write(f'{name}="{value_of(self.shell, name)}"')
            for line in filter(None, value_of(self.shell, f"{name}_desc").split("^^")):
                self.write(f"# - {line}")
            self.write(f'#   (default: "{value_of(self.shell, f"{name}_defval")}")')
        self.write("")
        return 0

    def switch(self, value: str, said: str) -> int:
        """Write the service's variable to rc.conf."""
        reply = self.shell.call.run("sysrc", "-vs", self.name, f"{self.rcvar}={value}")
        self.shell.write(reply.stderr.decode("utf-8", "surrogateescape"), fd=2)
        if reply.exit_code == 0:
            self.write(f"{self.name} {said} in {reply.stdout.decode().partition(':')[0]}")
        return reply.exit_code

    def delete(self) -> int:
        """Take the service's variable out of rc.conf."""
        where = self.shell.call.run("sysrc", "-Fi", self.rcvar).stdout.decode().strip().partition(": ")[2]
        reply = self.shell.call.run("sysrc", "-x", self.rcvar)
        self.shell.write(reply.stderr.decode("utf-8", "surrogateescape"), fd=2)
        if reply.exit_code == 0:
            self.write(f"{self.rcvar} deleted in {where or '/etc/rc.conf'}")
        return reply.exit_code
