"""Cuts an ONNX graph down to what some of its outputs need.

ONNX Runtime computes all of a graph, whichever outputs are fetched. A graph that gives every source
is therefore opened for the asked ones alone. Of the format, which is protobuf, only a few messages
are looked into; all else is copied as it stands:

ModelProto.graph 7; GraphProto.node 1 and .output 12; NodeProto.input 1 and .output 2;
ValueInfoProto.name 1.

Source: the ONNX specification (onnx.proto), and protobuf's wire format.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from stemlight.errors import WeightsError

__all__ = ["graph_part", "output_names"]

_GRAPH = 7
_NODE, _OUTPUT = 1, 12
_NODE_INPUT, _NODE_OUTPUT = 1, 2
_NAME = 1

_VARINT, _EIGHT_BYTES, _CHUNK, _FOUR_BYTES = 0, 1, 2, 5
_FIXED_BYTES = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}


def output_names(graph: Path) -> tuple[str, ...]:
    """Return the names of a graph's outputs, in its order.

    Raises:
        WeightsError: the file is missing or no ONNX graph.
    """
    with _reading(graph):
        _, fields = _read(graph)
        return tuple(_name(field.content) for field in fields if field.number == _OUTPUT)


def graph_part(graph: Path, outputs: Sequence[str]) -> bytes:
    """Return a model that gives some outputs of a graph, in the graph's order, and does no more.

    The graph must hold no graphs in its nodes (loops or branches); ours hold none.

    Raises:
        WeightsError: the file is missing, no ONNX graph, or has not all of these outputs.
    """
    with _reading(graph):
        model, fields = _read(graph)
        there = [_name(field.content) for field in fields if field.number == _OUTPUT]
        kept = _needed(fields, set(outputs))
    missing = set(outputs) - set(there)
    if missing:
        raise WeightsError(
            f"{graph} gives {', '.join(there) or 'nothing'}, not {', '.join(sorted(missing))}"
        )
    body = b"".join(bytes(field.whole) for field in kept)
    parts = []
    for field in model:
        if field.number == _GRAPH:
            parts.append(_varint(_GRAPH << 3 | _CHUNK) + _varint(len(body)) + body)
        else:
            parts.append(bytes(field.whole))
    return b"".join(parts)


@contextmanager
def _reading(graph: Path) -> Iterator[None]:
    """Say of whatever is wrong with a file's bytes that it is no graph."""
    try:
        yield
    except OSError as error:
        raise WeightsError(f"cannot read {graph}: {error.strerror}") from error
    except (ValueError, IndexError) as error:  # UnicodeDecodeError is a ValueError
        raise WeightsError(f"{graph} is no ONNX graph; fetch or export the model again") from error


class _Field(NamedTuple):
    """One field of a message: its number, its content, and all of its bytes."""

    number: int
    content: memoryview
    whole: memoryview


def _read(graph: Path) -> tuple[list[_Field], list[_Field]]:
    """Return the fields of the model and those of its graph."""
    model = list(_fields(memoryview(graph.read_bytes())))
    (body,) = (field for field in model if field.number == _GRAPH)
    return model, list(_fields(body.content))


def _needed(fields: Sequence[_Field], names: set[str]) -> list[_Field]:
    """Drop other outputs, and the nodes that nothing is left to need; nodes come in order."""
    kept = []
    needed = set(names)
    for field in reversed(fields):
        if field.number == _OUTPUT and _name(field.content) not in names:
            continue
        if field.number == _NODE:
            parts = list(_fields(field.content))
            if needed.isdisjoint(_texts(parts, _NODE_OUTPUT)):
                continue
            needed.update(_texts(parts, _NODE_INPUT))
        kept.append(field)
    return kept[::-1]


def _texts(fields: Sequence[_Field], number: int) -> list[str]:
    return [str(field.content, "utf-8") for field in fields if field.number == number]


def _name(message: memoryview) -> str:
    return next(iter(_texts(list(_fields(message)), _NAME)), "")


def _fields(message: memoryview) -> Iterator[_Field]:
    """Yield the fields of a message.

    Raises:
        ValueError: the bytes are no message.
        IndexError: they end within a number.
    """
    start = 0
    while start < len(message):
        key, position = _read_varint(message, start)
        kind = key & 7
        if kind == _VARINT:
            first = position
            _, position = _read_varint(message, position)
        elif kind in _FIXED_BYTES:
            first, position = position, position + _FIXED_BYTES[kind]
        elif kind == _CHUNK:
            n_bytes, first = _read_varint(message, position)
            position = first + n_bytes
        else:
            raise ValueError(f"no field is of wire type {kind}")
        if position > len(message):
            raise ValueError("a field is longer than its message")
        yield _Field(key >> 3, message[first:position], message[start:position])
        start = position


def _read_varint(message: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("a number has more than 64 bits")


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
