# SPDX-License-Identifier: BSD-2-Clause
"""Several hosts in one spec: side by side, told in the spec's order; no failure keeps another host from its turn."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

import warden as package
from warden.cli import crew, selection
from warden.cli.crew import AT_ONCE, Crew
from warden.host.address import open_host
from warden.host.fake.host import FakeHost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.cli.conftest import Ended
    from warden.host.command import Command, Host, Result

    Warden = Callable[..., Ended]


def spec(**hosts: str) -> str:
    """Give a spec of hosts, and an agent with the network and no jail on each."""
    tables = (
        f'[hosts.{name}]\naddress = "{address}"\n[agents.on-{name}]\nhost = "{name}"\n'
        for name, address in hosts.items()
    )
    return "".join(tables)


JAIL = ("15.1-RELEASE", "172.31.5.2/24", "bridge7")
MIXED = spec(
    alpha="fake:alpha.json?latency=0.02",
    bare="fake:bare.json?profile=bare",
    gone="fake:no/gone.json",
    failing="fake:failing.json?fail-nth=2",
    taken="fake:taken.json",
    omega="fake:omega.json",
)


@pytest.fixture
def folder(warden: Warden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder of a spec that names its hosts itself."""
    monkeypatch.delenv("WARDEN_HOST")
    return tmp_path


@pytest.fixture
def mixed(warden: Warden, folder: Path) -> Path:
    """Give a spec whose hosts come to every end that there is; `taken` has two things that are not Warden's."""
    (folder / "warden.toml").write_text(MIXED.replace("[agents.on-taken]", '[agents.on-taken]\nservices = ["git"]'))
    for argv in (
        ("ifconfig", "bridge", "create", "name", "warden0"),
        ("ifconfig", "bridge", "create", "name", "bridge7"),
        (*("bastille", "create", "-B", "-M", "-g", "172.31.5.1"), "ontakengit", *JAIL),
    ):
        done = warden("host", "run", "--host", "taken", "--", *argv)
        assert done.status == 0, done
    return folder


def places(text: str, *words: str) -> list[int]:
    """Give where the words stand for the first time; each has to."""
    assert all(word in text for word in words), text
    return [text.index(word) for word in words]


def in_order(found: Sequence[int]) -> bool:
    return list(found) == sorted(found)


def test_hosts_are_told_in_the_order_of_the_spec(warden: Warden, mixed: Path) -> None:
    ended = warden("plan")
    assert ended.status == 4, "that of bare, the first that is not 0"
    assert in_order(places(ended.out, "alpha  FreeBSD", "failing  FreeBSD", "taken  FreeBSD", "omega  FreeBSD"))
    assert in_order(places(ended.err, "error: bare: ", "error: gone: "))
    plans = re.split(r"(?m)^(?=\w+  FreeBSD)", ended.out)[1:]
    for name, plan in zip(("alpha", "failing", "taken", "omega"), plans, strict=True):
        assert f"on-{name}" in plan, "each host's output is whole"
        assert plan.count("on-") == plan.count(f"on-{name}"), "and has nothing of another's"


def test_the_exit_status_is_that_of_the_first_that_has_another(warden: Warden, folder: Path) -> None:
    hosts = {"one": "fake:one.json", "two": "ssh://127.0.0.1:1", "three": "fake:no/three.json"}
    (folder / "warden.toml").write_text(spec(**hosts))
    assert warden("plan").status == warden("apply", "-y").status == warden("status").status == 69
    (folder / "warden.toml").write_text(spec(**dict(reversed(hosts.items()))))
    assert warden("plan").status == warden("apply", "-y").status == warden("host", "probe").status == 2
    assert warden("plan", "--exit-code", "--host", "one").status == 0, "it has been applied"


def test_an_apply_goes_on_whatever_becomes_of_one_host(warden: Warden, mixed: Path) -> None:
    ended = warden("apply", "-y")
    assert ended.status == 4
    assert in_order(places(ended.out, "alpha: 11 changes done", "omega: 11 changes done", "6 hosts: "))
    assert ended.out.splitlines()[-1] == "6 hosts: 2 done, 1 failed, 3 refused"
    assert in_order(places(ended.err, "error: gone: ", "error: bare: ", "error: failing: ", "error: taken: "))
    assert "warden0 that is not Warden's" in ended.err
    assert "jail ontakengit that is not Warden's" in ended.err, "all its conflicts are shown"
    again = warden("apply", "-y")
    assert again.out.splitlines()[-1].endswith("1 failed, 3 refused, 2 with nothing to do")
    for host, agents in (("alpha", ["on-alpha"]), ("omega", ["on-omega"]), ("taken", [])):
        told = warden("status", "--host", host, "--json").json
        assert [agent["name"] for agent in told["agents"]] == agents


def test_without_a_terminal_nothing_is_done_anywhere(warden: Warden, mixed: Path) -> None:
    before = {path.name: path.read_bytes() for path in mixed.glob("*.json")}
    ended = warden("apply")
    assert ended.status == 2, "that of alpha, where it was to be asked"
    assert ended.err.count("there is no terminal to ask at") == 1
    assert ended.err.count("that is not Warden's") == 2
    after = {path.name: path.read_bytes() for path in mixed.glob("*.json")}
    assert {name: after[name] for name in before} == before


def test_every_event_is_a_whole_line_and_says_its_host(warden: Warden, folder: Path) -> None:
    hosts = {f"h{number}": f"fake:h{number}.json?latency=0.001" for number in range(6)}
    (folder / "warden.toml").write_text(spec(**hosts))
    ended = warden("apply", "-y", "--json")
    assert (ended.status, ended.err) == (0, ""), ended
    events = [json.loads(line) for line in ended.out.splitlines()]
    for host in hosts:
        mine = [event for event in events if event["host"] == host]
        changes = [change["id"] for change in mine[0]["plan"]["changes"]]
        assert [event["event"] for event in mine] == ["plan", *("change" for _ in changes), "report"]
        assert sorted(event["id"] for event in mine[1:-1]) == sorted(changes)
        assert mine[-1]["done"] == {"done": len(changes)}
    assert len(events) == sum(event["host"] in hosts for event in events)


def test_an_agent_is_found_and_destroyed_although_another_host_is_gone(warden: Warden, folder: Path) -> None:
    hosts = {"gone": "fake:no/gone.json", "here": "fake:here.json"}
    (folder / "warden.toml").write_text(spec(**hosts))
    assert warden("apply", "-y").status == 2
    for verb in (("agent", "show", "on-here"), ("destroy", "on-here", "-y")):
        ended = warden(*verb)
        assert ended.status == 2, "that of the host that is gone"
        assert "error: gone: " in ended.err
        assert "on-here" in ended.out
    assert warden("status", "--host", "here", "--json").json["agents"] == []
    assert warden("destroy", "on-here", "-y").status == 2


class Counting:
    """Stands at the door of every host: counts those that are open, and may hold them up until all are there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, together: int = 1) -> None:
        self.now = self.most = 0
        self.hosts: dict[str, FakeHost] = {}
        self.become: dict[str, str] = {}
        self._together = threading.Barrier(together)
        self._turn = threading.Lock()
        monkeypatch.setattr(selection, "open_host", self._open)

    def _open(self, address: str, **options: Any) -> Host:
        host = open_host(address, **options)
        assert isinstance(host, FakeHost)
        self.hosts[address], self.become[address] = host, options["become"]
        run, close = host.run, host.close

        def counted_run(batch: Sequence[Command], **how: Any) -> list[Result]:
            with self._turn:
                self.now += 1
                self.most = max(self.most, self.now)
            self._together.wait(timeout=20)
            with self._turn:
                self.now -= 1
            return run(batch, **how)

        host.run, host.close = counted_run, close  # type: ignore[method-assign]
        return host


@pytest.mark.parametrize("verb", [("status",), ("apply", "-y")])
def test_sixteen_hosts_at_a_time(
    warden: Warden, folder: Path, monkeypatch: pytest.MonkeyPatch, verb: tuple[str, ...]
) -> None:
    """Every read waits until sixteen are there, which fewer threads could not give, and more would be counted."""
    hosts = {f"h{number}": f"fake:h{number}.json" for number in range(2 * AT_ONCE)}
    (folder / "warden.toml").write_text(spec(**hosts))
    for name in hosts:
        assert name != "h0" or warden("apply", "-y", "--host", name).status == 0
        (folder / f"{name}.json").write_bytes((folder / "h0.json").read_bytes())
    (folder / "warden.toml").write_text(re.sub(r"(?m)^\[agents\.on-.*\n.*\n", "", spec(**hosts)))
    counting = Counting(monkeypatch, together=AT_ONCE)
    ended = warden(*verb)
    assert ended.status == 0, ended
    assert len(counting.hosts) == 2 * AT_ONCE
    assert counting.most == AT_ONCE


def test_where_nothing_is_to_do_a_host_is_asked_once(
    warden: Warden, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = {"a": "fake:a.json", "b": "fake:b.json"}
    (folder / "warden.toml").write_text(spec(**hosts))
    counting = Counting(monkeypatch)
    assert warden("apply", "-y").status == 0
    assert {host.batches for host in counting.hosts.values()} <= {5, 6, 7}
    for options in ((), ("-y",)):
        assert warden("apply", *options).status == 0
        assert {host.batches for host in counting.hosts.values()} == {1}


def test_a_host_is_opened_as_its_table_says(warden: Warden, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = spec(a="fake:a.json", b="fake:b.json").replace('b.json"\n', 'b.json"\nbecome = "doas"\n')
    (folder / "warden.toml").write_text(text)
    counting = Counting(monkeypatch)
    assert warden("plan").status == 0
    assert counting.become == {"fake:a.json": "none", "fake:b.json": "doas"}


def test_passphrases_are_asked_one_at_a_time_by_the_thread_that_talks(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, threading.Thread]] = []

    def answer(prompt: str) -> str:
        asked.append((prompt, threading.current_thread()))
        return f"{prompt}, please"

    monkeypatch.setattr(crew, "ask_secret", answer)
    gained: dict[int, str | Exception | None] = {}
    with Crew() as works:
        works.each([f"key {number}" for number in range(20)], works.ask, gained.__setitem__)
    assert gained == {number: f"key {number}, please" for number in range(20)}
    assert {thread for _, thread in asked} == {threading.main_thread()}


def test_nobody_can_be_asked_for_a_passphrase(warden: Warden, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[str | None] = []

    def open_with_question(address: str, **options: Any) -> Host:
        given.append(options["ask"]("passphrase for key"))
        return open_host(address, **options)

    monkeypatch.setattr(selection, "open_host", open_with_question)
    (folder / "warden.toml").write_text(spec(a="fake:a.json", b="fake:b.json"))
    ended = warden("plan")
    assert (ended.status, given) == (0, [None, None])
    assert "passphrase" not in ended.out + ended.err


def test_what_nobody_foresaw_on_one_host_does_not_stop_another(
    warden: Warden, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_or_not(address: str, **options: Any) -> Host:
        if address == "fake:a.json":
            raise RuntimeError("a screw is loose")
        return open_host(address, **options)

    monkeypatch.setattr(selection, "open_host", open_or_not)
    (folder / "warden.toml").write_text(spec(a="fake:a.json", b="fake:b.json"))
    ended = warden("apply", "-y")
    assert ended.status == 1
    assert "error: a: this is a bug in Warden: RuntimeError: a screw is loose" in ended.err
    assert "b: 11 changes done" in ended.out


class AtTerminal:
    """`warden` at a terminal: what is on it is read as it comes, and answered."""

    def __init__(self, folder: Path, *argv: str, patience: int = 30) -> None:
        # a shell in the background ignores interrupts, and whoever is started from there inherits that
        start = f"""
import signal; signal.signal(signal.SIGINT, signal.default_int_handler)
from warden.engine import guard; guard.PATIENCE = {patience}
from warden.cli.main import run; run()
"""
        self._master, slave = pty.openpty()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("WARDEN_")}
        environment |= {"PYTHONPATH": str(Path(package.__file__).parents[1]), "TERM": "xterm", "COLUMNS": "160"}
        environment |= {"LINES": "40", "NO_COLOR": "1"}
        self._process = subprocess.Popen(
            (sys.executable, "-c", start, *argv),
            cwd=folder,
            env=environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.seen = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    def wait_for(self, pattern: str) -> None:
        """Read until something is on the terminal."""
        for _ in self._read():
            if re.search(pattern, self.seen):
                return
        raise AssertionError(f"{pattern!r} never came: {self.seen}")

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def interrupt(self) -> None:
        time.sleep(0.3)  # as a person would: what was just printed is being waited at by now
        self._process.send_signal(signal.SIGINT)

    def end(self) -> int:
        """Read all that still comes, and give the exit status."""
        for _ in self._read():
            pass
        return self._process.wait(timeout=20)

    def _read(self) -> Iterator[None]:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            if select.select([self._master], [], [], 0.2)[0]:
                try:
                    data = os.read(self._master, 65536)
                except OSError:  # its last writer is gone
                    return
                self.seen += data.decode("utf-8", "replace").replace("\r\n", "\n")
                yield
            elif self._process.poll() is not None:
                return
        raise AssertionError(f"no end: {self.seen}")


def machines(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.json")}


def test_one_question_for_all_hosts(warden: Warden, folder: Path) -> None:
    (folder / "warden.toml").write_text(spec(a="fake:a.json", b="fake:b.json", c="fake:c.json"))
    assert warden("apply", "-y", "--host", "b").status == 0
    # what pf's guard sleeps on ends there: nothing goes on by itself any more
    assert warden("host", "run", "--host", "b", "--", "/bin/sleep", "60").status == 0
    assert warden("plan").status == 0
    before = machines(folder)
    question = r"carry out 22 changes on 2 hosts\?"
    with AtTerminal(folder, "apply") as at:
        at.wait_for(question)
        at.type("n\n")
        assert at.end() == 0, at.seen
        assert at.seen.count("carry out") == 1
        assert "nothing was done" in at.seen
    assert machines(folder) == before
    with AtTerminal(folder, "apply") as at:
        at.wait_for(question)
        at.type("y\n")
        assert at.end() == 0, at.seen
        assert at.seen.count("carry out") == 1
        assert "3 hosts: 2 done, 1 with nothing to do" in at.seen
    assert warden("plan", "--exit-code").status == 0


def test_a_host_with_conflicts_is_not_asked_about(warden: Warden, mixed: Path) -> None:
    with AtTerminal(mixed, "apply") as at:
        at.wait_for(r"carry out 33 changes on 3 hosts\?")  # alpha, failing and omega
        at.type("y\n")
        assert at.end() == 4, at.seen
        assert "6 hosts: 2 done, 1 failed, 3 refused" in at.seen


def test_the_live_view_has_a_row_for_every_host_with_work(warden: Warden, folder: Path) -> None:
    hosts = {"zeta": "fake:z.json?latency=0.1", "beta": "fake:b.json?fail-nth=3&latency=0.05", "idle": "fake:i.json"}
    (folder / "warden.toml").write_text(spec(**hosts))
    assert warden("apply", "-y", "--host", "idle").status == 0
    with AtTerminal(folder, "apply", "-y") as at:
        assert at.end() == 1
    rows = re.findall(r"(zeta|beta|idle) [━╸╺ ]+ (\d+)/11 \S+ (.*?) *[\n\x1b]", at.seen)
    assert {host for host, _, _ in rows} == {"zeta", "beta"}, "no row for a host that has nothing to do"
    assert ("zeta", "11", "reading the host back") in rows
    assert [words for host, _, words in rows if host == "zeta"][-1] == "done"
    assert re.fullmatch(r"\d+ changes? failed", [words for host, _, words in rows if host == "beta"][-1])
    both = [screen for screen in at.seen.split("\x1b[1A") if "zeta " in screen and "beta " in screen]
    assert both, "one view of them all"
    assert all(screen.rindex("zeta ") < screen.rindex("beta ") for screen in both if "━" in screen)
    assert "on-zeta: + gateway" not in at.seen, "no line for every change where there is a view"
    after = at.seen[at.seen.rindex("\x1b[2K") :]
    assert in_order(places(after, "zeta: 11 changes done", "error: beta: ", "3 hosts: 1 done, 1 failed, 1 with"))


def test_an_interrupt_says_what_is_known(warden: Warden, folder: Path) -> None:
    (folder / "warden.toml").write_text(spec(a="fake:a.json?latency=0.6", b="fake:b.json"))
    with AtTerminal(folder, "apply", "-y") as at:
        at.wait_for(r"Ka [━╸╺ ]+ [1-9]/11 ")
        at.interrupt()
        assert at.end() == 130, at.seen
    assert "Traceback" not in at.seen
    assert "error: interrupted" in at.seen
    assert re.search(r"a: \d+ done, \d+ failed or unknown, \d+ not begun", at.seen), at.seen
    assert "b: 11 changes done" in at.seen
    (folder / "warden.toml").write_text(spec(a="fake:a.json", b="fake:b.json"))
    assert warden("apply", "-y").status == 0, "no lock was left behind"


def test_an_interrupted_question_does_nothing(warden: Warden, folder: Path) -> None:
    (folder / "warden.toml").write_text(spec(a="fake:a.json", b="fake:b.json"))
    assert warden("plan").status == 0
    before = machines(folder)
    with AtTerminal(folder, "apply") as at:
        at.wait_for(r"carry out 22 changes on 2 hosts\?")
        at.interrupt()
        assert at.end() == 130, at.seen
    assert "Traceback" not in at.seen
    assert machines(folder) == before
