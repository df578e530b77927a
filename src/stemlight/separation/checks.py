"""What callers may ask for and hand in: checked once, before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stemlight.errors import InputError, UsageError, did_you_mean
from stemlight.separation.layouts import MOST_CHANNELS
from stemlight.shapes import Float32

__all__ = [
    "check_complement",
    "check_mixture",
    "check_sample_rate",
    "check_sources",
    "finite_float32",
]


def check_mixture(mixture: object) -> None:
    """Refuse what is no floating-point array of the shape (channels, samples).

    Raises:
        UsageError: another type, dtype or number of axes, or samples in the place of channels.
    """
    if not isinstance(mixture, np.ndarray):
        raise UsageError(
            f"the mixture is a {type(mixture).__name__} but a NumPy array of the shape "
            "(channels, samples) is needed; convert it with numpy.asarray()"
        )
    if not np.issubdtype(mixture.dtype, np.floating):
        raise UsageError(
            f"the mixture has the dtype {mixture.dtype} but floating point of full scale 1.0 is "
            "needed; for 16-bit integers pass mixture.astype(numpy.float32) / 32768"
        )
    if mixture.ndim != 2:
        hint = "; for mono pass mixture[numpy.newaxis, :]" if mixture.ndim == 1 else ""
        raise UsageError(
            f"the mixture has the shape {mixture.shape} but (channels, samples) is needed{hint}"
        )
    if not 1 <= mixture.shape[0] <= MOST_CHANNELS:
        raise UsageError(
            f"the mixture has the shape {mixture.shape}, read as {mixture.shape[0]} channels, but "
            f"1..{MOST_CHANNELS} are allowed; if it is (samples, channels), pass mixture.T"
        )


def finite_float32(
    block: np.ndarray, *, first_sample: int, sample_rate_hz: int
) -> Float32[np.ndarray, "channels samples"]:
    """Return `block` as float32, without a copy where it is float32 already.

    Raises:
        InputError: a sample is NaN or infinite; the message tells where, in seconds.
    """
    with np.errstate(over="ignore"):  # beyond float32 becomes infinite, which is found below
        samples = block.astype(np.float32, copy=False)
    finite = np.isfinite(samples)
    if not finite.all():
        position = int(np.argmin(finite.all(axis=0)))
        channel = int(np.argmin(finite[:, position]))
        seconds = (first_sample + position) / sample_rate_hz
        raise InputError(
            f"the mixture is not finite ({samples[channel, position]}) at {seconds:.6f} s in "
            f"channel {channel + 1}; repair it, for example with numpy.nan_to_num()"
        )
    return samples


def check_sources(asked: Sequence[str] | None, known: Sequence[str]) -> tuple[str, ...]:
    """Return the asked sources in the asked order; `None` asks for all that are known.

    Raises:
        UsageError: none, an unknown one (with the closest known name), or one twice.
    """
    if asked is None:
        return tuple(known)
    if isinstance(asked, str):
        raise UsageError(f"sources is the text {asked!r} but a list is needed; pass [{asked!r}]")
    if not asked:
        raise UsageError(f"sources is empty; name at least one of {', '.join(known)}")
    for index, source in enumerate(asked):
        if source not in known:
            hint = did_you_mean(source, known) or "; it has " + ", ".join(known)
            raise UsageError(f"the model has no source {source!r}{hint}")
        if source in asked[:index]:
            raise UsageError(f"source {source!r} is asked twice; name each source once")
    return tuple(asked)


def check_complement(name: str | None, known: Sequence[str]) -> None:
    """Refuse a complement that is called like one of the model's own sources, or has no name.

    Raises:
        UsageError: see above.
    """
    if name is None:
        return
    if not name:
        raise UsageError("complement is empty; name it, for example 'no_vocals'")
    if name in known:
        raise UsageError(
            f"complement {name!r} is the name of a source of the model; what is left of the "
            f"mixture needs a name of its own, for example 'no_{name}'"
        )


def check_sample_rate(sample_rate_hz: object) -> int:
    """Return the sample rate as an integer.

    Raises:
        UsageError: it is no positive whole number.
    """
    if (
        not isinstance(sample_rate_hz, int | np.integer)
        or isinstance(sample_rate_hz, bool)
        or sample_rate_hz < 1
    ):
        raise UsageError(
            f"sample_rate_hz must be a whole number of at least 1, not {sample_rate_hz!r}"
        )
    return int(sample_rate_hz)
