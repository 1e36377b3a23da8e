# SPDX-License-Identifier: BSD-2-Clause
"""How the insides of the jails are asked, and what their answers mean.

Root in a jail can answer what he likes, so every line is put behind the jail's name on the host, and no answer can
pass for another jail's; one that is not understood makes its own jail ill, and nothing else.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING

from warden.facts.inside import cms, db, git, llama_cpp, ollama
from warden.facts.inside.common import HEAD
from warden.facts.model import Inside, InsideFile
from warden.facts.registry import REGISTRY

if TYPE_CHECKING:
    from collections.abc import Mapping

QUESTIONS: Mapping[str, str] = MappingProxyType(
    {
        "git": HEAD + git.QUESTION,
        "cms": HEAD + cms.QUESTION,
        "db": HEAD + db.QUESTION,
        "llama-cpp": HEAD + llama_cpp.QUESTION,
        "ollama": HEAD + ollama.QUESTION,
    }
)

ASK = f"""\
# ask JAIL QUESTION ADDRESS PORT VERSION RUNTIME AGENT; without a jail it is asked on the host
ask() {{
	( DB_PASSWORD=; [ ! -r {REGISTRY}/"$7".env ] || . {REGISTRY}/"$7".env; printf '%s\\n' "$DB_PASSWORD" ) |
	timeout -k 1 15 ${{1:+jexec -l -U root "$1"}} /bin/sh -c "$2" sh "$3" "$4" "$5" "$6" "$7" 2>/dev/null |
	head -c 65536
}}
"""

ON_HOST = "@"
"""What stands before an agent's name where its service is the host's and in no jail."""

_NUMBERED = " ".join(f"{service}) question=${{{number}}};;" for number, service in enumerate(QUESTIONS, start=1))

LIST_INSIDES = f"""\
# reads only
{ASK}
tell() {{
	case $service in {_NUMBERED} *) return;; esac
	[ -z "$name" ] || jls -j "$name" jid > /dev/null 2>&1 || return
	# an answer without a last line end must not run into the next one
	{{ ask "$name" "$question" "$address" "$port" "$version" "$runtime" "$agent"; echo; }} |
		sed "s/^/${{name:-{ON_HOST}$agent}} /"
}}
for entry in {REGISTRY}/*.toml; do
	[ -f "$entry" ] || continue
	agent=${{entry##*/}} agent=${{agent%.toml}} service='' gateway=''
	while read -r key is value; do
		value=${{value#\\"}} value=${{value%\\"}}
		case $key in
		'['*)
			tell "$@"
			name='' address='' port='' version='' runtime='' service=''
			case $key in
			'[jails.'*) service=${{key#'[jails.'}} service=${{service%']'}};;
			'[host_db]') service=db address=$gateway runtime=host;;
			esac;;
		gateway) gateway=$value;;
		name) name=$value;; address) address=$value;; port) port=$value;;
		version) version=$value;; runtime) runtime=$value;;
		esac
	done < "$entry"
	tell "$@"
done
true
"""
"""Asks every jail of the registry that runs; its arguments are the questions, in the order of QUESTIONS."""

WAIT = f"""\
{ASK}
patience=$1 jail=$2; shift
while :; do
	said=$(ask "$@" | tail -n 1)
	[ "$said" != healthy ] || exit 0
	patience=$((patience - 1))
	[ $patience -gt 0 ] || break
	sleep 1
done
echo "$jail: ${{said:-it does not answer}}" >&2
exit 1
"""
"""Waits until a service is healthy, asking once a second: SECONDS, and then what `ask` takes."""

_FILE = re.compile(r"([0-7]{3,4}) (\S+:\S+) ([0-9a-f]{64}) (/.*)")


def parse_insides(text: str) -> dict[str, Inside]:
    """Give what the insides tell, by the jails' names, from what LIST_INSIDES prints."""
    said: dict[str, list[str]] = {}
    # at line feeds only, as sed(1) sees lines: what else ends a line for Python is a jail's to write
    for line in text.split("\n"):
        name, _, answer = line.partition(" ")
        if answer:
            said.setdefault(name, []).append(answer)
    return {name: _inside(answers) for name, answers in said.items()}


def _inside(answers: list[str]) -> Inside:
    packages: dict[str, str] = {}
    files: dict[str, InsideFile] = {}
    variables: dict[str, str] = {}
    items: set[str] = set()
    ill = "its jail did not answer to the end"
    for answer in answers:
        kind, _, rest = answer.partition(" ")
        first, _, second = rest.partition(" ")
        if kind == "package" and first and second:
            packages[first] = second
        elif kind == "file" and (found := _FILE.fullmatch(rest)):
            files[found[4]] = InsideFile(mode=int(found[1], 8), owner=found[2], sha256=found[3])
        elif kind == "variable" and first:
            variables[first] = second
        elif kind == "item":
            items.add(rest)
        elif kind in ("healthy", "ill"):
            ill = rest or "it does not say why" if kind == "ill" else ""
        else:
            return Inside(ill=f"its jail answers what nobody asked: {answer[:60]!r}")
    return Inside(packages=packages, files=files, variables=variables, items=frozenset(items), ill=ill)
