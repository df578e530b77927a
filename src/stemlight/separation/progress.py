"""How far a song is: in samples for those who count, as fraction and time left for those who wait.

A callback that returns False, and False alone, ends the work with `CancelledError`; so does any
exception that it raises, as itself. Either way nothing of the song is left.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from stemlight.audio import AudioInfo
from stemlight.errors import CancelledError

__all__ = ["FractionProgress", "Progress", "expected_samples", "fraction_progress", "reporter"]

Progress = Callable[[int, int | None], object]
"""Called with the samples read so far and how many there are, about: None if nobody knows.

It is called at least once for every block, also where nothing advances for a while (the input is
hashed, stems are written a second time or audited), so that it can end the work at any time.
"""

FractionProgress = Callable[[float | None, float | None], object]
"""Called with the fraction that is done, 0 to 1, and the seconds left, about: None if unknown."""


def fraction_progress(on_progress: FractionProgress) -> Progress:
    """Make a `Progress`, for one song, of a callback that takes the fraction and the seconds left.

    >>> tell = fraction_progress(lambda fraction, eta_seconds: print(f"{fraction:.0%}"))
    >>> tell(44_100, 176_400)
    25%
    """
    started: float | None = None

    def report(n_samples: int, n_total: int | None) -> object:
        nonlocal started
        now = time.perf_counter()
        started = now if started is None else started
        if not n_total:
            return on_progress(None, None)
        fraction = min(1.0, n_samples / n_total)  # estimated lengths may be too short
        elapsed_seconds = now - started
        eta_seconds = elapsed_seconds * (1 - fraction) / fraction if fraction else None
        return on_progress(fraction, eta_seconds if elapsed_seconds or fraction == 1 else None)

    return report


def reporter(
    name: str, on_progress: Progress | None, n_total: int | None = None
) -> Callable[[int], None]:
    """Return a callback that knows how many samples there are to come, about.

    It raises CancelledError where `on_progress` returns False.
    """

    def report(n_samples: int) -> None:
        if on_progress is not None and on_progress(n_samples, n_total) is False:
            raise CancelledError(f"the separation of {name} was cancelled")

    return report


def expected_samples(info: AudioInfo) -> int | None:
    """Return how many samples a song has, about; None if nobody knows."""
    if info.n_samples is None and info.duration_seconds is not None:
        return round(info.duration_seconds * info.sample_rate_hz)
    return info.n_samples
