"""The YAML files that recipes are written in, one built on another, and settings laid over them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from stemlight.configs import merge
from stemlight.errors import ConfigError

__all__ = ["SEPARATORS", "read_fields"]

SEPARATORS = "separators"
"""The field that recipes of mixers have, and no others."""

_BASE = "base"


def read_fields(path: Path, settings: Iterable[str] = ()) -> dict[str, Any]:
    """Read the fields of a YAML recipe and lay `settings` such as `optimizer.kind=adam` over them.

    With `base: FILE` a recipe is laid over another, which lies beside it and may have a base
    itself; mappings are merged field by field, all else is replaced.

    Raises:
        ConfigError: a file cannot be read, or is its own base; a setting is none.
    """
    fields = _with_base(path, ())
    for setting in settings:
        fields = merge(fields, _parse_setting(setting))
    return fields


def _with_base(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in [each.resolve() for each in above]:
        way = " -> ".join(each.name for each in (*above, path))
        raise ConfigError(f"{above[0]} is built on itself: {way}; remove one {_BASE}")
    own = _read(path, above)
    base = own.pop(_BASE, None)
    if base is None:
        return own
    if not isinstance(base, str):
        raise ConfigError(f"{path} needs the name of a file as {_BASE}, not {base!r}")
    return merge(_with_base(path.parent / base, (*above, path)), own)


def _read(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    what = f"{path}, the {_BASE} of {above[-1].name}," if above else str(path)
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _loader(path.parent))
    except (OSError, ValueError, yaml.YAMLError) as error:  # ValueError: the 45th of a month
        reason = str(error).replace("\n", " ")
        raise ConfigError(f"{what} is no readable recipe: {reason}") from error
    if not isinstance(content, Mapping):
        raise ConfigError(f"{what} must hold a mapping of fields, not {type(content).__name__}")
    return dict(content)


def _loader(folder: Path) -> type[yaml.SafeLoader]:
    """Make a safe loader that also knows `!lines FILE`: the lines of a text file in `folder`."""

    class Loader(yaml.SafeLoader):
        pass

    def lines(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> list[str]:
        text = (folder / loader.construct_scalar(node)).read_text(encoding="utf-8")
        return [line for line in text.splitlines() if line.strip()]

    Loader.add_constructor("!lines", lines)
    return Loader


def _parse_setting(setting: str) -> dict[str, Any]:
    """Turn `a.b=1` into `{"a": {"b": 1}}`; the value is YAML."""
    key, separator, value = setting.partition("=")
    if not separator or not key:
        raise ConfigError(f"--set needs key=value, for example n_steps=1000; got {setting!r}")
    try:
        nested: Any = _number(yaml.safe_load(value))
    except (ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"--set {setting!r} has a value that is no YAML; quote it") from error
    for part in reversed(key.split(".")):
        nested = {part: nested}
    return dict(nested)


def _number(value: Any) -> Any:
    """Read `1e-3` as a number, which YAML 1.1 takes for text."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value
