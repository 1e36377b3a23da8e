# SPDX-License-Identifier: BSD-2-Clause
"""The machine's state as JSON and back, driven by the dataclasses' own annotations."""

from __future__ import annotations

import dataclasses
import operator
import types
import typing
from functools import cache
from typing import Any

from warden.host.fake.file_node import Node
from warden.host.fake.filesystem import FileSystem

_TREES = {"root", "trees"}
_OWN = [field.name for field in dataclasses.fields(Node) if field.name != "children"]
_OWN_VALUES = operator.attrgetter(*_OWN)

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None


def to_json(value: object) -> Json:
    """Give a state value as JSON: dataclasses as objects without their defaults, bytes as text."""
    if isinstance(value, FileSystem):
        return _files_to_json(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: to_json(getattr(value, field.name))
            for field in _fields(type(value))
            if not _is_default(field, getattr(value, field.name))
        }
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_json(item) for item in (sorted(value) if isinstance(value, (set, frozenset)) else value)]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"a machine's state cannot hold {type(value).__name__}")


def from_json(kind: Any, data: Json) -> Any:
    """Build a value of the type `kind` from what `to_json` gave for it."""
    return _reader(kind)(data)


def _files_to_json(files: FileSystem) -> Json:
    """Give a file system with every different file and folder once, however many jails have the same.

    `nodes` has them, each folder behind what it holds and with the places of that; the trees are places too.
    """
    table: dict[tuple[Any, ...], int] = {}

    def place(node: Node) -> int:
        children = tuple([(name, place(child)) for name, child in node.children.items()])
        return table.setdefault((_OWN_VALUES(node), children), len(table))

    found: dict[str, Json] = {"root": place(files.root)}
    found["trees"] = {name: place(tree) for name, tree in files.trees.items()}
    found["nodes"] = [[*map(to_json, own), dict(children)] for own, children in table]
    rest = [field for field in _fields(FileSystem) if field.name not in _TREES]
    return found | {field.name: to_json(getattr(files, field.name)) for field in rest}


def _files_from_json(data: dict[str, Any]) -> FileSystem:
    hints = typing.get_type_hints(FileSystem)
    own_hints = typing.get_type_hints(Node)
    readers = [(name, _reader(own_hints[name])) for name in _OWN]
    nodes: list[Node] = []
    for *own, children in data["nodes"]:
        values = {name: read(value) for (name, read), value in zip(readers, own, strict=True)}
        nodes.append(Node(**values, children={name: nodes[place] for name, place in children.items()}))
    rest = {name: _reader(hints[name])(value) for name, value in data.items() if name in hints.keys() - _TREES}
    trees = {name: nodes[place].copy() for name, place in data["trees"].items()}
    return FileSystem(root=nodes[data["root"]].copy(), trees=trees, **rest)


@cache
def _fields(kind: type) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(kind)


def _is_default(field: dataclasses.Field[Any], value: object) -> bool:
    if field.default is not dataclasses.MISSING:
        return bool(field.default == value)
    return field.default_factory is not dataclasses.MISSING and not value and value == field.default_factory()


@cache
def _reader(kind: Any) -> typing.Callable[[Any], Any]:  # noqa: C901, PLR0911 - one branch a type form
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        inner = [arg for arg in args if arg is not type(None)]
        if len(inner) != 1:
            raise TypeError(f"a machine's state cannot hold {kind}")
        read_inner = _reader(inner[0])
        return lambda data: None if data is None else read_inner(data)
    if origin in (list, tuple, set, frozenset):
        read_item = _reader(args[0])
        return lambda data: origin(read_item(item) for item in data)
    if origin is dict:
        read_key, read_value = _reader(args[0]), _reader(args[1])
        return lambda data: {read_key(key): read_value(item) for key, item in data.items()}
    if origin is typing.Literal or kind in (str, float, bool):
        return lambda data: data
    if kind is int:
        return int
    if kind is bytes:
        return lambda data: data.encode("utf-8", "surrogateescape")
    if kind is FileSystem:
        return _files_from_json
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints: dict[str, Any] | None = None

        def build(data: dict[str, Any]) -> Any:
            nonlocal hints
            if hints is None:
                hints = {name: _reader(hint) for name, hint in typing.get_type_hints(kind).items()}
            return kind(**{name: hints[name](item) for name, item in data.items()})

        return build
    raise TypeError(f"a machine's state cannot hold {kind}")
