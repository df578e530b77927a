"""What references and estimates must be to be compared: named, of one shape, finite."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from stemlight.errors import UsageError, did_you_mean
from stemlight.shapes import Float32

__all__ = ["Samples", "check_like", "check_signals", "energy", "fit_length", "rounded_to_16_bits"]

Samples = Float32[np.ndarray, "channels samples"]


def check_signals(references: Mapping[str, Samples], estimates: Mapping[str, Samples]) -> None:
    """Refuse what cannot be compared.

    Raises:
        UsageError: There is no reference or no sample, shapes differ, a sample is not finite, or an
            estimate has no reference.
    """
    if not references:
        raise UsageError("there are no references; give at least one")
    for name in estimates:
        if name not in references:
            raise UsageError(
                f"there is an estimate of {name!r} but no reference"
                f"{did_you_mean(name, references)}; references are {', '.join(references)}"
            )
    first_name, first = next(iter(references.items()))
    if first.ndim != 2 or first.size == 0:
        raise UsageError(
            f"the reference of {first_name!r} has shape {first.shape}; "
            "it must be (channels, samples) with at least one of each"
        )
    for kind, signals in (("reference", references), ("estimate", estimates)):
        for name, signal in signals.items():
            check_like(first, signal, f"the {kind} of {name!r}")


def check_like(reference: Samples, signal: Samples, what: str) -> None:
    """Refuse a signal, called `what`, of another shape than the references, or not finite.

    Raises:
        UsageError: It is.
    """
    if signal.shape != reference.shape:
        raise UsageError(
            f"{what} has shape {signal.shape} but the first reference {reference.shape}; "
            "fit_length() cuts or pads"
        )
    n_bad = signal.size - int(np.count_nonzero(np.isfinite(signal)))
    if n_bad:
        raise UsageError(
            f"{what} has {n_bad} samples that are NaN or infinite; a score needs finite ones"
        )


def fit_length(estimate: Samples, n_samples: int) -> Samples:
    """Cut an estimate, or pad it with silence, to its reference's length, as `museval` does."""
    n_missing = max(0, n_samples - estimate.shape[1])
    return np.pad(estimate[:, :n_samples], ((0, 0), (0, n_missing)))


def rounded_to_16_bits(signal: Samples) -> Samples:
    """Round samples to what 16 bits hold, without clipping; what already is like that comes back.

    Sound that was decoded from a lossy format has next to nothing above the format's band limit.
    Filters of BSS Eval have gains of 100 dB there, and SIR and SAR measure the rounding of the
    decoder; the noise of 16 bits keeps filters sane.
    """
    rounded = np.rint(signal * np.float32(32768)) / np.float32(32768)
    return signal if np.array_equal(rounded, signal) else rounded


def energy(signal: np.ndarray) -> float:
    """Return the sum of squares, in float64."""
    samples = signal.astype(np.float64, copy=False).ravel()
    return float(samples @ samples)
