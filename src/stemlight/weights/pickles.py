"""Reads pickles as data: a stack machine that knows all operations of a pickle but the call.

A pickle is a program. One operation imports what it names, others call that, and so a file can run
any code. Here an import gives a `Name`, and a call a `Made`: a record of what was to be called, and
with what. Nothing that a file names is imported, looked up or called, so nothing in it can run.

Source: `pickletools`, which describes every operation of all protocols.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any

__all__ = ["Made", "Name", "read_pickle"]

_OLD_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg"}  # as Python 2 called them


@dataclass(frozen=True)
class Name:
    """Something that a pickle names, by the module that it was to be imported from."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Made:
    """An object that was to be made by calling `kind`, and what it was to be filled with."""

    kind: Name
    arguments: tuple[Any, ...]
    state: Any = None
    items: list[Any] = field(default_factory=list)
    """What a list or a set was to hold."""
    entries: dict[Any, Any] = field(default_factory=dict)
    """What a mapping was to hold."""


def read_pickle(
    file: IO[bytes], *, check_name: Callable[[Name], None], stored: Callable[[Any], Any]
) -> Any:
    """Read one pickle from where `file` stands; the file stands behind it afterwards.

    Ordered dictionaries become dictionaries, sets become lists, and entries of dictionaries whose
    keys are no plain values are left out. `check_name` is called with every name and may refuse it;
    `stored` is given what stands for data that lie elsewhere, and returns these.

    Raises:
        ValueError, IndexError, KeyError, TypeError: the pickle is damaged.
    """
    return _Machine(check_name, stored).run(file)


class _Machine:
    """The stack, the marks on it, and what was memorised."""

    def __init__(self, check_name: Callable[[Name], None], stored: Callable[[Any], Any]) -> None:
        self._check_name = check_name
        self._stored = stored
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []  # the stacks below each mark
        self._memo: dict[int, Any] = {}

    def run(self, file: IO[bytes]) -> Any:
        for code, argument, _ in pickletools.genops(file):
            if code.name == "STOP":
                return self._stack.pop()
            if code.name in _CONSTANTS:
                self._stack.append(argument)
            elif code.name in _IGNORED:
                continue
            else:
                operation = _OPERATIONS.get(code.name)
                if operation is None:
                    raise ValueError(f"it has the operation {code.name}, which no weights need")
                operation(self, argument)
        raise ValueError("it ends too early")

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def pop(self) -> Any:
        return self._stack.pop()

    def mark(self, _: Any) -> None:
        self._below.append(self._stack)
        self._stack = []

    def above_mark(self) -> list[Any]:
        values, self._stack = self._stack, self._below.pop()
        return values

    def drop(self, _: Any) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self.above_mark()

    def drop_mark(self, _: Any) -> None:
        self.above_mark()

    def duplicate(self, _: Any) -> None:
        self.push(self._stack[-1])

    def put(self, place: int) -> None:
        self._memo[place] = self._stack[-1]

    def memorise(self, _: Any) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def get(self, place: int) -> None:
        self.push(self._memo[place])

    def name(self, argument: str) -> None:
        self._push_name(*argument.split(" ", 1))

    def name_of_stack(self, _: Any) -> None:
        name, module = self.pop(), self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise TypeError("a name that is no text")
        self._push_name(module, name)

    def _push_name(self, module: str, name: str) -> None:
        named = Name(_OLD_MODULES.get(module, module), name)
        self._check_name(named)
        self.push(named)

    def take_tuple(self, size: int) -> None:
        values = [self.pop() for _ in range(size)]
        self.push(tuple(reversed(values)))

    def take_dictionary(self, _: Any) -> None:
        entries = self.above_mark()
        self.push({})
        self._fill_dictionary(entries)

    def append(self, _: Any) -> None:
        self._extend([self.pop()])

    def extend(self, _: Any) -> None:
        self._extend(self.above_mark())

    def _extend(self, values: list[Any]) -> None:
        target = self._stack[-1]
        (target.items if isinstance(target, Made) else _only(list, target)).extend(values)

    def set_entry(self, _: Any) -> None:
        value, key = self.pop(), self.pop()
        self._fill_dictionary([key, value])

    def set_entries(self, _: Any) -> None:
        self._fill_dictionary(self.above_mark())

    def _fill_dictionary(self, keys_and_values: list[Any]) -> None:
        target = self._stack[-1]
        entries = target.entries if isinstance(target, Made) else _only(dict, target)
        for key, value in zip(keys_and_values[::2], keys_and_values[1::2], strict=True):
            # Hashing a tuple of tuples may take forever, and no weights have such keys.
            if key is None or isinstance(key, str | bytes | int | float | Name):
                entries[key] = value

    def call(self, _: Any) -> None:
        arguments, called = self.pop(), self.pop()
        self._make(called, _only(tuple, arguments))

    def call_with_names(self, _: Any) -> None:
        named = self.pop()
        self.call(None)
        _only(Made, self._stack[-1]).entries.update(_only(dict, named))

    def call_above_mark(self, _: Any) -> None:
        called, *arguments = self.above_mark()
        self._make(called, tuple(arguments))

    def call_name(self, argument: str) -> None:
        arguments = self.above_mark()
        self.name(argument)
        self._make(self.pop(), tuple(arguments))

    def _make(self, called: Any, arguments: tuple[Any, ...]) -> None:
        kind = _only(Name, called)
        if kind in (Name("copyreg", "_reconstructor"), Name("copyreg", "__newobj__")):
            kind = _only(Name, arguments[0])
            arguments = ()
        if kind != Name("collections", "OrderedDict"):
            self.push(Made(kind, arguments))
            return
        self.push({})
        for pair in arguments[0] if arguments else ():
            self._fill_dictionary(list(pair))

    def build(self, _: Any) -> None:
        state = self.pop()
        target = self._stack[-1]
        if isinstance(target, Made):
            target.state = state  # attributes of dictionaries are of no use here

    def find_stored(self, argument: Any) -> None:
        self.push(self._stored(argument))


def _only(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"a {type(value).__name__} where a {kind.__name__} is needed")
    return value


_IGNORED = ("PROTO", "FRAME")
_CONSTANTS = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE"),
    *("BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
)
_OPERATIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_SET": lambda machine, _: machine.push([]),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE1": lambda machine, _: machine.take_tuple(1),
    "TUPLE2": lambda machine, _: machine.take_tuple(2),
    "TUPLE3": lambda machine, _: machine.take_tuple(3),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.above_mark())),
    "LIST": lambda machine, _: machine.push(machine.above_mark()),
    "FROZENSET": lambda machine, _: machine.push(machine.above_mark()),
    "DICT": _Machine.take_dictionary,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.extend,
    "ADDITEMS": _Machine.extend,
    "SETITEM": _Machine.set_entry,
    "SETITEMS": _Machine.set_entries,
    "MARK": _Machine.mark,
    "POP": _Machine.drop,
    "POP_MARK": _Machine.drop_mark,
    "DUP": _Machine.duplicate,
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.memorise,
    "GET": _Machine.get,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.name_of_stack,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "NEWOBJ_EX": _Machine.call_with_names,
    "OBJ": _Machine.call_above_mark,
    "INST": _Machine.call_name,
    "BUILD": _Machine.build,
    "PERSID": _Machine.find_stored,
    "BINPERSID": lambda machine, _: machine.find_stored(machine.pop()),
}
