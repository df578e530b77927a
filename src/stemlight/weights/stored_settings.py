"""Finds plain settings in what Lightning, argparse and OmegaConf make of them."""

from __future__ import annotations

from typing import Any

from stemlight.errors import WeightsError
from stemlight.weights.pickles import Made

__all__ = ["plain_settings"]

_MOST_SETTINGS = 10_000


def plain_settings(value: Any) -> dict[str, Any]:
    """Return the settings that an object of a pickle holds, by name.

    What is no plain value is left out, as are references of OmegaConf to other settings.

    Raises:
        WeightsError: there are more than anybody has.
    """
    found = _Plain().plain(value)
    return found if isinstance(found, dict) else {}


class _Plain:
    """Counts what is looked at: pickles can repeat a list of lists of lists at no cost."""

    _NOTHING = object()

    def __init__(self) -> None:
        self._n_seen = 0

    def plain(self, value: Any) -> Any:
        self._n_seen += 1
        if self._n_seen > _MOST_SETTINGS:
            raise WeightsError(f"holds more than {_MOST_SETTINGS} settings")
        if isinstance(value, str):
            return self._NOTHING if "${" in value else value  # a reference of OmegaConf
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, dict):
            return self._named(value)
        if isinstance(value, list | tuple):
            return [item for item in map(self.plain, value) if item is not self._NOTHING]
        return self._of_object(value) if isinstance(value, Made) else self._NOTHING

    def _named(self, mapping: dict[Any, Any]) -> dict[str, Any]:
        plain = {str(key): self.plain(value) for key, value in mapping.items()}
        return {key: value for key, value in plain.items() if value is not self._NOTHING}

    def _of_object(self, made: Made) -> Any:
        if made.entries:  # a subclass of dict
            return self._named(made.entries)
        state = made.state
        if isinstance(state, tuple):  # attributes, and those in slots
            state = next((part for part in state if isinstance(part, dict)), None)
        if not isinstance(state, dict):
            return self._NOTHING
        for wrapped in ("_content", "_val"):  # containers and leaves of OmegaConf
            if wrapped in state:
                return self.plain(state[wrapped])
        return self._named(state)  # argparse.Namespace and its like
