# SPDX-License-Identifier: BSD-2-Clause
"""grep, sed and awk, as far as scripts on a host use them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from warden.host.fake import file_facts
from warden.host.fake.filesystem import FileError
from warden.host.fake.options import getopt
from warden.host.fake.program import Call, Reply, UnsupportedError, program, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CLASSES = {
    "alpha": "a-zA-Z",
    "digit": "0-9",
    "alnum": "a-zA-Z0-9",
    "upper": "A-Z",
    "lower": "a-z",
    "space": r"\s",
    "blank": r" \t",
    "punct": r"!-/:-@\[-`{-~",
    "xdigit": "0-9A-Fa-f",
}


@lru_cache(maxsize=512)
def pattern(expression: str, *, extended: bool, ignore_case: bool = False) -> re.Pattern[str]:
    """Give a regular expression of re_format(7), basic or extended, as Python's."""
    out, at = "", 0
    while at < len(expression):
        here = expression[at]
        if here == "[":
            end = _bracket_end(expression, at)
            out += _bracket(expression[at + 1 : end])
            at = end + 1
            continue
        if here == "\\" and at + 1 < len(expression):
            following = expression[at + 1]
            at += 2
            special = following in "(){}|+?" and not extended
            out += following if special else r"\b" if following in "<>" else f"\\{following}"
            continue
        literal = not extended and (
            here in "(){}|+?"
            or (here == "*" and out in ("", "^"))
            or (here == "^" and out != "")
            or (here == "$" and at + 1 < len(expression))
        )
        out += f"\\{here}" if literal else here
        at += 1
    return re.compile(out, re.IGNORECASE if ignore_case else 0)


def _bracket_end(expression: str, start: int) -> int:
    at = start + 1 + (expression[start + 1 : start + 2] == "^")
    at += expression[at : at + 1] == "]"
    while at < len(expression) and expression[at] != "]":
        at = expression.find(":]", at) + 2 if expression.startswith("[:", at) else at + 1
    if at >= len(expression):
        raise UnsupportedError(f"the regular expression {expression!r}")
    return at


def _bracket(inner: str) -> str:
    negated = inner.startswith("^")
    inner = inner.removeprefix("^").replace("\\", "\\\\")
    inner = re.sub(r"\[:(\w+):\]", lambda match: f"\0{match[1]}\0", inner).replace("[", r"\[").replace("]", r"\]")
    inner = re.sub("\0(\\w+)\0", lambda match: _CLASSES[match[1]], inner)
    return f"[{'^' if negated else ''}{inner}]"


@program("/usr/bin/grep", "grep [-EFHchilnoqsvwx] [-e PATTERN]... [PATTERN] [FILE...]")
def grep(call: Call) -> Reply:
    """Find lines: exits 0 for a match, 1 for none, 2 for trouble."""
    flags, names, wrong = getopt(call.args, "EFHce:hilnoqsvwx")
    if wrong:
        raise call.unsupported()
    if "e" not in flags and not names:
        raise call.unsupported("grep without a pattern")
    expressions = flags.get("e") or names.pop(0).split("\n")
    matches = _matcher(expressions, flags)
    matched = False
    reply = Reply()
    text = ""
    for name in names or ["-"]:
        try:
            lines = file_facts.read_input(call, name).decode("utf-8", "surrogateescape").splitlines()
        except FileError as failure:
            reply += say(error="" if "s" in flags else f"grep: {name}: {failure.reason}\n", status=2)
            continue
        shown = "(standard input)" if name == "-" else name
        prefix = f"{shown}:" if (len(names) > 1 or "H" in flags) and "h" not in flags else ""
        hits = [(number, line) for number, line in enumerate(lines, 1) if bool(matches(line)) != ("v" in flags)]
        matched = matched or bool(hits)
        if "c" in flags:
            text += f"{prefix}{len(hits)}\n"
        elif "l" in flags:
            text += f"{shown}\n" if hits else ""
        else:
            for number, line in hits:
                where = f"{prefix}{number}:" if "n" in flags else prefix
                found = [match[0] for match in matches.finditer(line)] if "o" in flags else [line]
                text += "".join(f"{where}{piece}\n" for piece in found)
    status = 0 if matched and ("q" in flags or not reply.exit_code) else reply.exit_code or 1
    return Reply(status, b"" if "q" in flags else text.encode("utf-8", "surrogateescape"), reply.stderr)


@dataclass(frozen=True, slots=True)
class _Matcher:
    expression: re.Pattern[str]

    def __call__(self, line: str) -> bool:
        return self.expression.search(line) is not None

    def finditer(self, line: str) -> Iterator[re.Match[str]]:
        return self.expression.finditer(line)


def _matcher(expressions: list[str], flags: dict[str, list[str]]) -> _Matcher:
    extended = "E" in flags
    parts = [re.escape(one) if "F" in flags else pattern(one, extended=extended).pattern for one in expressions]
    whole = "|".join(f"(?:{part})" for part in parts)
    if "x" in flags:
        whole = f"^(?:{whole})$"
    elif "w" in flags:
        whole = rf"(?<!\w)(?:{whole})(?!\w)"
    return _Matcher(re.compile(whole, re.IGNORECASE if "i" in flags else 0))


@dataclass(frozen=True, slots=True)
class _Edit:
    """One command of a sed script: the lines that it is for, the letter, and what stands behind it."""

    first: str
    last: str
    negated: bool
    verb: str
    search: re.Pattern[str] | None = None
    replacement: str = ""
    flags: str = ""


@program("/usr/bin/sed", "sed [-n] [-E] [-i ''] [-e SCRIPT]... [SCRIPT] [FILE...]: s, p, d, q with addresses")
def sed(call: Call) -> Reply:
    """Edit a stream, or files in place."""
    flags, names, wrong = getopt(call.args, "nEre:i:")
    if wrong or ("e" not in flags and not names) or flags.get("i", [""]) != [""]:
        raise call.unsupported()
    script = "\n".join(flags["e"]) if "e" in flags else names.pop(0)
    edits = list(_sed_script(call, script, extended=bool(flags.keys() & {"E", "r"})))
    quiet = "n" in flags
    if "i" in flags:

        def rewrite(name: str) -> None:
            text = call.files.text(call.path(name), root=call.root)
            data = _edited(text, edits, quiet=quiet).encode("utf-8", "surrogateescape")
            call.files.write(call.path(name), data, root=call.root)

        return file_facts.each(call, names, rewrite)
    reply = file_facts.each(call, names or ["-"], lambda name: file_facts.read_input(call, name))
    text = _edited(reply.stdout.decode("utf-8", "surrogateescape"), edits, quiet=quiet)
    return Reply(reply.exit_code, text.encode("utf-8", "surrogateescape"), reply.stderr)


def _sed_script(call: Call, script: str, *, extended: bool) -> Iterator[_Edit]:
    rest = script
    address = re.compile(r"\d+|\$|/(?:[^/\\]|\\.)*/")
    while rest := rest.lstrip(" \t\n;"):
        bounds: list[str] = []
        while match := address.match(rest):
            bounds.append(match[0])
            rest = rest[match.end() :]
            if not rest.startswith(",") or len(bounds) == 2:
                break
            rest = rest[1:]
        rest = rest.lstrip()
        negated = rest.startswith("!")
        rest = rest.removeprefix("!").lstrip()
        verb, rest = rest[:1], rest[1:]
        first, last = [*bounds, "", ""][:2]
        if verb in ("p", "d", "q"):
            yield _Edit(first, last, negated, verb)
        elif verb == "s" and rest:
            match = re.match(r"(.)((?:\\.|(?!\1).)*)\1((?:\\.|(?!\1).)*)\1([gpIi0-9]*)", rest, re.DOTALL)
            if match is None:
                raise call.unsupported()
            ignore = "i" in match[4].lower()
            source = match[2].replace(f"\\{match[1]}", match[1]) if match[1] not in "\\|(){}" else match[2]
            search = pattern(source, extended=extended, ignore_case=ignore)
            yield _Edit(first, last, negated, "s", search, match[3].replace(f"\\{match[1]}", match[1]), match[4])
            rest = rest[match.end() :]
        else:
            raise call.unsupported()
        if rest and rest[0] not in " \t\n;}":
            raise call.unsupported()


def _edited(text: str, edits: list[_Edit], *, quiet: bool) -> str:
    lines = text.splitlines()
    within = dict.fromkeys(edits, False)
    out: list[str] = []
    for number, line in enumerate(lines, 1):
        here, verbs = line, ""
        for edit in edits:
            if _applies(edit, (number, len(lines)), here, within) == edit.negated:
                continue
            printed = edit.verb == "p"
            if edit.search is not None:
                here, changed = _substitute(edit, edit.search, here)
                printed = bool(changed) and "p" in edit.flags
            out += [here] * printed
            verbs += edit.verb
            if edit.verb == "d":
                break
        if "d" not in verbs and not quiet:
            out.append(here)
        if "q" in verbs:
            break
    return "".join(f"{line}\n" for line in out)


def _applies(edit: _Edit, place: tuple[int, int], line: str, within: dict[_Edit, bool]) -> bool:
    """Tell whether an edit's addresses take in a line, the nth of so many."""
    number, count = place

    def hits(address: str) -> bool:
        if address.startswith("/"):
            return pattern(address[1:-1], extended=False).search(line) is not None
        return number == (count if address == "$" else int(address))

    if not edit.first:
        return True
    if not edit.last:
        return hits(edit.first)
    past = edit.last.isdigit() and number >= int(edit.last)
    if within[edit]:
        within[edit] = not (past or hits(edit.last))
        return True
    within[edit] = hits(edit.first) and not past
    return within[edit] or hits(edit.first)


def _substitute(edit: _Edit, search: re.Pattern[str], line: str) -> tuple[str, int]:
    def fill(match: re.Match[str]) -> str:
        return re.sub(
            r"\\(.)|&",
            lambda part: match[0] if part[0] == "&" else (match[int(part[1])] or "") if part[1].isdigit() else part[1],
            edit.replacement,
            flags=re.DOTALL,
        )

    nth = "".join(letter for letter in edit.flags if letter.isdigit())
    if nth:
        seen = 0

        def only(match: re.Match[str]) -> str:
            nonlocal seen
            seen += 1
            return fill(match) if seen == int(nth) else match[0]

        return search.sub(only, line), seen >= int(nth)
    return search.subn(fill, line, count=0 if "g" in edit.flags else 1)


_AWK_RULE = re.compile(
    r"\s*(BEGIN|END|/(?:[^/\\]|\\.)*/|NR\s*==\s*\d+|)\s*(?:\{\s*print\s*([^;{}]*?)\s*;?\s*\})?\s*",
)
_OUTSIDE_QUOTES = r'(?=(?:[^"]*"[^"]*")*[^"]*$)'


@program(
    "/usr/bin/awk",
    "awk [-F CHAR] '[BEGIN | END | NR==N | /RE/] { print [$N | $NF | \"TEXT\" | NR | NF | NUMBER],... }' [FILE...]",
)
def awk(call: Call) -> Reply:
    """Print fields of lines."""
    flags, names, wrong = getopt(call.args, "F:")
    if wrong or not names:
        raise call.unsupported()
    rule = _AWK_RULE.fullmatch(names[0])
    if rule is None or not names[0].strip():
        raise call.unsupported()
    separator = flags.get("F", [" "])[-1]
    condition, expression = rule[1], rule[2] or "$0"
    show = _awk_print(call, expression, separator)
    if condition == "BEGIN":
        return say(show("", 0))
    reply = file_facts.each(call, names[1:] or ["-"], lambda name: file_facts.read_input(call, name))
    lines = reply.stdout.decode("utf-8", "surrogateescape").splitlines()
    if condition == "END":
        text = show(lines[-1] if lines else "", len(lines))
    else:
        text = "".join(show(line, number) for number, line in enumerate(lines, 1) if _awk_hits(condition, line, number))
    return Reply(reply.exit_code, text.encode("utf-8", "surrogateescape"), reply.stderr)


def _awk_hits(condition: str, line: str, number: int) -> bool:
    if condition.startswith("/"):
        return pattern(condition[1:-1], extended=True).search(line) is not None
    return not condition or number == int(condition.rpartition("=")[2])


def _awk_print(call: Call, expression: str, separator: str) -> Callable[[str, int], str]:
    items = [item.strip() for item in re.split(f",{_OUTSIDE_QUOTES}", expression)]
    words = [re.findall(r'"(?:[^"\\]|\\.)*"|\$NF|\$\d+|NR|NF|\d+', item) for item in items]
    bare = [re.sub(rf"\s+{_OUTSIDE_QUOTES}", "", item) for item in items]
    if ["".join(found) for found in words] != bare:
        raise call.unsupported(f"awk: print {expression}")

    def value(word: str, line: str, fields: list[str], number: int) -> str:
        if word.startswith('"'):
            return word[1:-1].encode().decode("unicode_escape")
        if word == "$0":
            return line
        if word in ("NR", "NF"):
            return str(number if word == "NR" else len(fields))
        if not word.startswith("$"):
            return word
        index = len(fields) if word == "$NF" else int(word[1:])
        return fields[index - 1] if 0 < index <= len(fields) else ""

    def show(line: str, number: int) -> str:
        fields = line.split() if separator == " " else line.split(separator)
        return " ".join("".join(value(word, line, fields, number) for word in found) for found in words) + "\n"

    return show
