"""Integrated loudness, and by how much an estimate is louder than its reference.

Source: ITU-R BS.1770-5. The filters of the recommendation are given for 48 kHz; at other rates they
are made anew from the analogue filters that they come from, as EBU's reference meter does.
"""

from __future__ import annotations

import math

import numpy as np

from stemlight.errors import UsageError
from stemlight.evaluation.signals import Samples
from stemlight.shapes import Float

__all__ = ["integrated_loudness_lufs", "loudness_difference_lu"]

_QUIETEST_LUFS = -70.0  # the absolute gate
_GATE_LU = -10.0
_OFFSET_LU = -0.691  # makes up for what the filters add at 1 kHz
_MAX_CHANNELS = 2  # the recommendation weighs channels by place; left and right alone need none


def integrated_loudness_lufs(signal: Samples, sample_rate_hz: int) -> float:
    """Return the loudness of mono or stereo sound, or minus infinity where the gate leaves none.

    Sound that is shorter than a block of 400 ms is one block.

    Raises:
        UsageError: There are more than two channels.
    """
    if signal.shape[0] > _MAX_CHANNELS:
        raise UsageError(
            f"the sound has {signal.shape[0]} channels; loudness is measured of 1 or 2"
        )
    powers = _block_powers(signal, sample_rate_hz)
    powers = powers[powers > _power(_QUIETEST_LUFS)]
    if not len(powers):
        return -math.inf
    powers = powers[powers > _power(_loudness(float(powers.mean())) + _GATE_LU)]
    return _loudness(float(powers.mean()))


def loudness_difference_lu(reference: Samples, estimate: Samples, sample_rate_hz: int) -> float:
    """Return by how much the estimate is louder; NaN for a reference below -70 LUFS.

    An estimate that is quieter than -70 LUFS counts as that.
    """
    wanted_lufs = integrated_loudness_lufs(reference, sample_rate_hz)
    if wanted_lufs == -math.inf:
        return math.nan
    return max(_QUIETEST_LUFS, integrated_loudness_lufs(estimate, sample_rate_hz)) - wanted_lufs


def _block_powers(signal: Samples, sample_rate_hz: int) -> Float[np.ndarray, " blocks"]:
    """Return the summed powers of all channels in blocks of 400 ms, a new one every 100 ms."""
    import scipy.signal  # half a second, which training does not need

    filters = np.stack([_shelf(sample_rate_hz), _high_pass(sample_rate_hz)])
    step = round(sample_rate_hz / 10)
    n_steps = signal.shape[1] // step
    energies = np.zeros(n_steps)
    rest = 0.0
    for channel in signal:
        heard = scipy.signal.sosfilt(filters, channel.astype(np.float64))
        np.square(heard, out=heard)
        energies += heard[: n_steps * step].reshape(n_steps, step).sum(axis=1)
        rest += float(heard.sum())
    if n_steps < 4:
        return np.array([rest / signal.shape[1]])
    return np.convolve(energies, np.ones(4), "valid") / (4 * step)


def _shelf(sample_rate_hz: int) -> Float[np.ndarray, " coefficients"]:
    """Return the high shelf that stands for the head: +4 dB above about 1.7 kHz."""
    quality, gain = 0.7071752369554196, 10 ** (3.999843853973347 / 20)
    k = math.tan(math.pi * 1681.974450955533 / sample_rate_hz)
    middle = gain**0.4996667741545416
    return _section(
        [
            gain + middle * k / quality + k * k,
            2 * (k * k - gain),
            gain - middle * k / quality + k * k,
        ],
        k,
        quality,
    )


def _high_pass(sample_rate_hz: int) -> Float[np.ndarray, " coefficients"]:
    """Return the high-pass at about 38 Hz; its numerator is 1, -2, 1 at every rate."""
    quality = 0.5003270373238773
    k = math.tan(math.pi * 38.13547087602444 / sample_rate_hz)
    return np.concatenate([[1.0, -2.0, 1.0], _section([1.0, -2.0, 1.0], k, quality)[3:]])


def _section(
    numerator: list[float], k: float, quality: float
) -> Float[np.ndarray, " coefficients"]:
    denominator = [1 + k / quality + k * k, 2 * (k * k - 1), 1 - k / quality + k * k]
    return np.array([*numerator, *denominator]) / denominator[0]


def _power(loudness_lufs: float) -> float:
    return float(10 ** ((loudness_lufs - _OFFSET_LU) / 10))


def _loudness(power: float) -> float:
    return _OFFSET_LU + 10 * math.log10(power)
