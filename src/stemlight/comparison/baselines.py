"""Classical baselines that need no weights: a floor and a ceiling for all that learns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from stemlight.evaluation import ReferenceTrack, Samples
from stemlight.shapes import Float32

__all__ = ["HarmonicPercussive", "IdealRatioMask"]

_TINY = np.float32(1e-12)  # of a squared magnitude: keeps masks of silence finite


@dataclass(frozen=True, kw_only=True)
class IdealRatioMask:
    """What masks on the mixture's spectrogram could reach: the oracle sees the references.

    The mask of a source is its squared magnitude over the sum of those of all sources, for each
    channel alone. What the mixture holds beside the references counts as one more source. Hann
    windows of 2048 samples, half a window apart.

    Source: IRM2 of Stöter, Liutkus, Ito, "The 2018 Signal Separation Evaluation Campaign" (LVA/ICA
    2018).
    """

    name: str = "oracle-irm"
    sources: None = None

    def identity(self, track: str) -> str:
        """See `System`."""
        return "oracle-irm 1"

    def separate(self, track: ReferenceTrack) -> Mapping[str, Samples]:
        """See `System`."""
        assert track.mixture is not None, "whoever runs systems reads mixtures"
        rest = track.mixture - sum(track.references.values(), np.zeros((), np.float32))
        stems = {name: np.empty_like(track.mixture) for name in track.references}
        for channel, mixture in enumerate(track.mixture):
            powers = {name: _power(each[channel]) for name, each in track.references.items()}
            total = sum(powers.values(), _power(rest[channel])) + _TINY
            spectrum = _stft(mixture, 2048, 1024)
            for name, power in powers.items():
                masked = spectrum * (power / total)
                stems[name][channel] = _istft(masked, 2048, 1024, len(mixture))
        return stems


@dataclass(frozen=True, kw_only=True)
class HarmonicPercussive:
    """Drums as what is percussive: broad in frequency and short in time.

    Medians over 17 frames keep what goes on, medians over 17 bins what is broad; the mask is the
    square of the second over the sum of both squares. Hann windows of 4096 samples, 1024 apart. The
    harmonic part would be vocals, bass and other in one, which no column of a table has, so drums
    are all that is given.

    Source: FitzGerald, "Harmonic/Percussive Separation using Median Filtering" (DAFx 2010).
    """

    name: str = "hpss"
    sources: tuple[str, ...] = ("drums",)

    def identity(self, track: str) -> str:
        """See `System`."""
        return "hpss 1"

    def separate(self, track: ReferenceTrack) -> Mapping[str, Samples]:
        """See `System`."""
        assert track.mixture is not None, "whoever runs systems reads mixtures"
        return {"drums": np.stack(list(_percussive(track.mixture)))}


def _percussive(mixture: Samples) -> Iterator[Float32[np.ndarray, " samples"]]:
    from scipy.ndimage import median_filter

    for channel in mixture:
        spectrum = _stft(channel, 4096, 1024)
        magnitudes = np.abs(spectrum)
        harmonic = median_filter(magnitudes, size=(1, 17)) ** 2
        percussive = median_filter(magnitudes, size=(17, 1)) ** 2
        spectrum *= percussive / (harmonic + percussive + _TINY)
        yield _istft(spectrum, 4096, 1024, len(channel))


def _power(signal: Float32[np.ndarray, " samples"]) -> Float32[np.ndarray, "bins frames"]:
    return np.abs(_stft(signal, 2048, 1024)) ** 2


def _stft(signal: Float32[np.ndarray, " samples"], window: int, hop: int) -> np.ndarray:
    from scipy.signal import stft  # here: it takes half a second to import

    padded = np.pad(signal, (0, max(0, window - len(signal))))
    return stft(padded, nperseg=window, noverlap=window - hop)[2]


def _istft(
    spectrum: np.ndarray, window: int, hop: int, n_samples: int
) -> Float32[np.ndarray, " samples"]:
    from scipy.signal import istft

    signal: np.ndarray = istft(spectrum, nperseg=window, noverlap=window - hop)[1]
    return signal[:n_samples].astype(np.float32)
