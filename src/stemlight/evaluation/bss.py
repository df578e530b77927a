"""BSS Eval v4: how much of an estimate is its source, other sources, and neither.

With s the reference (all its channels), e the estimate, P_own(e) what filters of 512 taps can make
of the reference to come nearest to e, and P_all(e) what they can make of all references:

    SDR = |s|^2 / |e - s|^2                         all that differs
    ISR = |s|^2 / |P_own(e) - s|^2                  the source's own level, place and colour
    SIR = |P_own(e)|^2 / |P_all(e) - P_own(e)|^2    other sources
    SAR = |P_all(e)|^2 / |e - P_all(e)|^2           what no source explains

in decibels. Filters are found once for the whole track; energies are those of frames of a second.
A frame is filtered alone, with silence before and after it, so that its projections are longer
than it by 511 samples.

No projection is ever computed: its energy in a frame is a quadratic form of the filters, with the
frame's correlations at lags of up to 511 samples as coefficients, which also add up to the normal
equations of the filters.

Source: Vincent, Sawada, Bofill, Makino, Rosca, "First Stereo Audio Source Separation Evaluation
Campaign" (ICA 2007) has the ratios; Stöter, Liutkus, Ito, "The 2018 Signal Separation Evaluation
Campaign" (LVA/ICA 2018) has filters of whole tracks and the frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft

from stemlight.errors import UsageError
from stemlight.evaluation.correlations import in_threads, lagged_correlations
from stemlight.evaluation.projection import projection_filters
from stemlight.evaluation.signals import Samples, check_signals, energy
from stemlight.shapes import Float

__all__ = ["BSS_TAPS", "BssFrames", "bss_eval"]

BSS_TAPS = 512


@dataclass(frozen=True, kw_only=True)
class BssFrames:
    """The four ratios of one stem, in decibels, for each frame; NaN where a frame has none."""

    sdr_db: Float[np.ndarray, " frames"]
    isr_db: Float[np.ndarray, " frames"]
    sir_db: Float[np.ndarray, " frames"]
    sar_db: Float[np.ndarray, " frames"]


def bss_eval(
    references: Mapping[str, Samples],
    estimates: Mapping[str, Samples],
    *,
    frame_samples: int = 44_100,
    n_threads: int = 0,
) -> dict[str, BssFrames]:
    """Return the ratios of every estimate, frame by frame, as `museval` computes them.

    What is left behind the last whole frame has no ratios of its own; a track that is shorter than
    a frame is one frame. A frame in which any source or estimate is silent is NaN for all stems.
    Sources without an estimate count as interference.

    Differs: `museval` refuses tracks with a stem that is silent throughout. Here such a reference
    is no source of the track, and such a reference or estimate has no ratios.

    Raises:
        UsageError: Shapes differ, samples are not finite, or an estimate has no reference.
    """
    check_signals(references, estimates)
    if frame_samples < 1:
        raise UsageError(f"frames have 1 sample or more, not {frame_samples}")
    n_samples = next(iter(references.values())).shape[1]
    frame_samples = min(frame_samples, n_samples)
    sources = {name: signal for name, signal in references.items() if np.any(signal)}
    scored = {name: estimates[name] for name in sources if np.any(estimates.get(name, 0))}
    ratios_db = {name: np.full((4, n_samples // frame_samples), np.nan) for name in estimates}
    if scored:
        ratios_db |= _ratios_db(sources, scored, frame_samples, n_threads)
    return {
        name: BssFrames(sdr_db=sdr, isr_db=isr, sir_db=sir, sar_db=sar)
        for name, (sdr, isr, sir, sar) in ratios_db.items()
    }


def _ratios_db(
    sources: Mapping[str, Samples],
    estimates: Mapping[str, Samples],
    frame_samples: int,
    n_threads: int,
) -> dict[str, Float[np.ndarray, "4 frames"]]:
    """Return the ratios of all frames; each source and each estimate sounds somewhere."""
    inputs = [channel for signal in sources.values() for channel in signal]
    outputs = [channel for signal in estimates.values() for channel in signal]
    n_channels = len(inputs) // len(sources)
    found = lagged_correlations(inputs, [*inputs, *outputs], BSS_TAPS, frame_samples, n_threads)
    numbers = {name: number for number, name in enumerate(sources)}
    own_inputs = [
        range(numbers[name] * n_channels, (numbers[name] + 1) * n_channels) for name in estimates
    ]
    weights = _weights(found.whole, own_inputs, n_channels)
    energies = (
        weights.reshape(5 * len(estimates), -1) @ found.frames.reshape(len(found.frames), -1).T
    )
    energies = energies.reshape(5, len(estimates), -1)
    true, estimated, error = _plain_energies(sources, estimates, frame_samples, n_threads)
    energies[4] += estimated
    np.maximum(energies, 0, out=energies)  # rounding may take what is next to nothing below
    spatial, own, interference, all_, artifacts = energies
    with np.errstate(divide="ignore", invalid="ignore"):
        powers = [true / error, true / spatial, own / interference, all_ / artifacts]
        ratios_db = 10 * np.log10(np.stack(powers, axis=1))
    ratios_db[:, :, np.isnan(true[0])] = np.nan
    return dict(zip(estimates, ratios_db, strict=True))


def _weights(
    whole: Float[np.ndarray, "inputs signals lags"], own_inputs: Sequence[range], n_channels: int
) -> Float[np.ndarray, "5 estimates inputs signals lags"]:
    """Return the weights of correlations whose sums are energies, by estimate.

    Those of P_own - s, P_own, P_all - P_own, P_all, and e - P_all without that of e.
    """
    own, all_ = _filters(whole, own_inputs)
    through = np.zeros_like(own)
    through[range(len(own)), [row for rows in own_inputs for row in rows], 0] = 1
    n_inputs, n_signals, n_taps = whole.shape
    weights = np.zeros((5, len(own_inputs), n_inputs, n_signals, n_taps))
    for kind, filters in enumerate((own - through, own, all_ - own, all_)):
        weights[kind, :, :, :n_inputs] = _energy_weights(filters, n_channels)
    weights[4] = weights[3]
    for output, filters in enumerate(all_):  # and minus twice the product of e and P_all
        weights[4, output // n_channels, :, n_inputs + output] = -2 * filters
    return weights


def _filters(
    whole: Float[np.ndarray, "inputs signals lags"], own_inputs: Sequence[range]
) -> tuple[Float[np.ndarray, "outputs inputs taps"], Float[np.ndarray, "outputs inputs taps"]]:
    """Return the filters to each channel of the estimates: of their own source, and of all."""
    n_inputs = len(whole)
    among, with_outputs = whole[:, :n_inputs], whole[:, n_inputs:]
    own = np.zeros((with_outputs.shape[1], *among.shape[1:]))
    for number, chosen in enumerate(own_inputs):
        rows = range(number * len(chosen), (number + 1) * len(chosen))
        own[np.ix_(rows, chosen)] = projection_filters(
            among[np.ix_(chosen, chosen)], with_outputs[np.ix_(chosen, rows)]
        )
    return own, projection_filters(among, with_outputs)


def _energy_weights(
    filters: Float[np.ndarray, "outputs inputs taps"], n_channels: int
) -> Float[np.ndarray, "estimates inputs inputs lags"]:
    """Return the weights of the correlations of inputs in the energy of filtered, summed inputs.

    With filters h, inputs x and c[i, j](lag) the sum of x[i][n] x[j][n + lag], the energy is the
    sum over i, j, p and q of h[i](p) h[j](q) c[i, j](p - q). Terms of negative lags are those of
    positive ones with i and j swapped, so these count twice.
    """
    n_taps = filters.shape[2]
    spectra = scipy.fft.rfft(filters, 2 * n_taps)
    spectra = spectra.reshape(-1, n_channels, *spectra.shape[1:])
    products = np.einsum("ecif,ecjf->eijf", spectra, spectra.conj())
    weights: np.ndarray = scipy.fft.irfft(products, 2 * n_taps)[..., :n_taps]
    weights[..., 1:] *= 2
    return weights


def _plain_energies(
    sources: Mapping[str, Samples],
    estimates: Mapping[str, Samples],
    frame_samples: int,
    n_threads: int,
) -> Float[np.ndarray, "3 estimates frames"]:
    """Return the energies of s, e and e - s; NaN for frames in which any signal is silent."""
    n_frames = next(iter(sources.values())).shape[1] // frame_samples

    def measure(index: int) -> np.ndarray:
        frame = slice(index * frame_samples, (index + 1) * frame_samples)
        wanted = {name: source[:, frame].astype(np.float64) for name, source in sources.items()}
        found = {name: estimate[:, frame] for name, estimate in estimates.items()}
        if not all(np.any(signal) for signal in (*wanted.values(), *found.values())):
            return np.full((3, len(found)), np.nan)
        return np.array(
            [
                [energy(wanted[name]), energy(signal), energy(signal - wanted[name])]
                for name, signal in found.items()
            ]
        ).T

    return np.stack(list(in_threads(measure, range(n_frames), n_threads)), axis=2)
