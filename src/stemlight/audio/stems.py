"""The stems of a song."""

from __future__ import annotations

from stemlight.audio.signal import Audio

__all__ = ["Stems"]


class Stems(dict[str, Audio]):
    """Stems by name, as any dict; a notebook shows it as one player for each."""

    def _repr_html_(self) -> str:
        """Return a player for each stem, under its name."""
        return "".join(audio.to_html(title=name) for name, audio in self.items())
