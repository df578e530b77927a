"""Options of a command, made of the fields of a frozen dataclass."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any, TypeVar

__all__ = ["add_options", "from_options", "option"]

Settings = TypeVar("Settings")


def option(default: Any, text: str) -> Any:
    """Return a field whose option has that default and explanation."""
    return dataclasses.field(default=default, metadata={"help": text})


def add_options(parser: argparse.ArgumentParser, settings: type) -> None:
    """Add one option for each field: `--n-workers` for `n_workers`."""
    group = parser.add_argument_group(settings.__name__)
    for entry in dataclasses.fields(settings):
        group.add_argument(
            f"--{entry.name.replace('_', '-')}",
            type=type(entry.default),
            default=entry.default,
            metavar="N",
            help=f"{entry.metadata['help']} [%(default)s]",
        )


def from_options(settings: type[Settings], arguments: argparse.Namespace) -> Settings:
    """Return the settings that were given."""
    names = [entry.name for entry in dataclasses.fields(settings)]  # type: ignore[arg-type]
    return settings(**{name: getattr(arguments, name) for name in names})
