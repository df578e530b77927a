"""`--set network.n_blocks=9` and the like, read into nested mappings."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from typing import Any

from stemlight.errors import ConfigError

__all__ = ["parse_settings"]


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Lay settings over each other in their order; values are JSON, or else text.

    Raises:
        ConfigError: one of them is no `key=value`.
    """
    from stemlight.configs import merge

    arguments: dict[str, Any] = {}
    for setting in settings:
        key, separator, text = setting.partition("=")
        if not separator or not key:
            raise ConfigError(
                f"--set needs key=value, for example network.n_blocks=9; got {setting!r}"
            )
        nested: Any = text
        with contextlib.suppress(json.JSONDecodeError):
            nested = json.loads(text)
        for part in reversed(key.split(".")):
            nested = {part: nested}
        arguments = merge(arguments, nested)
    return arguments
