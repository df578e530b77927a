"""Measures what mixing wants to know of a track's music: tempo, key, levels of its stems."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from stemlight.shapes import Float, Float32
from stemlight.training.material import TrackFacts

__all__ = ["measure_facts"]

_BLOCK_FRAMES = 512  # transformed at once, so that long songs take little memory

_FRAMES_PER_SECOND = 100.0
_N_BANDS = 24
_LOWEST_BPM, _HIGHEST_BPM = 60.0, 200.0
_TYPICAL_BPM, _TEMPO_SPREAD_OCTAVES = 120.0, 1.0
_CLEAR_PULSE = 0.15  # autocorrelation of onsets one beat apart, as a share of their energy
_MIN_TEMPO_SECONDS = 4.0

_KEY_FRAME_SECONDS = 0.37  # long enough to tell semitones apart from 65 Hz on
_KEY_RANGE_HZ = (65.0, 2100.0)
_CLEAR_KEY = 0.6  # correlation with the profile of the key
_KEY_MARGIN = 0.03  # by which the best key must beat the next
# How well each degree of the scale fits the key. Source: Krumhansl, Cognitive Foundations of
# Musical Pitch (1990), table 2.1.
_MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)

_LEVEL_BLOCK_SECONDS = 0.4
_SILENT_DB = -60.0
_GATE_DB = -10.0  # below the mean of what is not silent, as in EBU R 128


def measure_facts(
    mixture: Float32[np.ndarray, "2 samples"],
    stems: Mapping[str, Float32[np.ndarray, "2 samples"]],
    sample_rate_hz: int,
) -> TrackFacts:
    """Measure a track; the stems may be some of its stems.

    Tempo lies in 60 to 200 bpm, and may be half or double of what a listener would say. The key is
    that of all but the stem `drums`. Stems that are silent throughout have no level.
    """
    mono = mixture.mean(axis=0)
    tonal = mono
    if "drums" in stems:
        drums = stems["drums"].mean(axis=0)
        tonal = mono[: len(drums)] - drums[: len(mono)]
    levels = {name: _level_db(stem, sample_rate_hz) for name, stem in stems.items()}
    return TrackFacts(
        tempo_bpm=_tempo_bpm(mono, sample_rate_hz),
        key=_key(tonal, sample_rate_hz),
        level_db={name: level for name, level in levels.items() if level is not None},
    )


def _tempo_bpm(mono: Float32[np.ndarray, " samples"], sample_rate_hz: int) -> float | None:
    """Return the rate at which onsets repeat, or None if they do not, or there are too few."""
    onsets = _onset_strength(mono, sample_rate_hz)
    n_frames = len(onsets)
    if n_frames < _MIN_TEMPO_SECONDS * _FRAMES_PER_SECOND or not onsets.any():
        return None
    spectrum = np.fft.rfft(onsets, 2 * n_frames)
    products = np.fft.irfft(np.abs(spectrum) ** 2)[:n_frames]
    # Fewer pairs of frames lie further apart; the mean product does not depend on their number.
    similarity = products / products[0] * n_frames / np.arange(n_frames, 0, -1)
    lags = np.arange(n_frames)
    in_range = (lags >= 60 * _FRAMES_PER_SECOND / _HIGHEST_BPM) & (
        lags <= 60 * _FRAMES_PER_SECOND / _LOWEST_BPM
    )
    candidates = lags[in_range]
    # What repeats after one beat repeats after two as well: the double lag, where there is one,
    # supports a beat, and the tempo that most music has decides between beat and bar.
    doubled = similarity[np.minimum(2 * candidates, n_frames - 1)]
    octaves = np.log2(60 * _FRAMES_PER_SECOND / candidates / _TYPICAL_BPM)
    typical = np.exp(-0.5 * (octaves / _TEMPO_SPREAD_OCTAVES) ** 2)
    best = candidates[np.argmax((similarity[candidates] + 0.5 * doubled) * typical)]
    if similarity[best] < _CLEAR_PULSE:
        return None
    return round(60 * _FRAMES_PER_SECOND / _refined_lag(similarity, int(best)), 2)


def _refined_lag(similarity: Float[np.ndarray, " lags"], lag: int) -> float:
    """Follow the pulse over as many beats as there are, which tells its length ever better."""
    beat = _peak(similarity, lag)
    n_beats = 1
    while 2 * n_beats * beat < len(similarity) / 2:
        near = round(2 * n_beats * beat)
        around = similarity[near - 4 : near + 5]
        found = near - 4 + int(np.argmax(around))
        if not 0 < np.argmax(around) < len(around) - 1 or similarity[found] < _CLEAR_PULSE:
            break
        n_beats *= 2
        beat = _peak(similarity, found) / n_beats
    return beat


def _peak(curve: Float[np.ndarray, " points"], index: int) -> float:
    """Return where the parabola through three points around `index` has its summit."""
    left, middle, right = curve[index - 1 : index + 2]
    curvature = left - 2 * middle + right
    return index + (0.5 * (left - right) / curvature if curvature < 0 else 0.0)


def _onset_strength(mono: Float32[np.ndarray, " samples"], rate_hz: int) -> np.ndarray:
    """Return how much louder the bands get from frame to frame, without its slow changes."""
    hop = max(1, round(rate_hz / _FRAMES_PER_SECOND))
    n_fft = 4 * hop
    edges = np.geomspace(40, 0.45 * rate_hz, _N_BANDS + 1) * n_fft / rate_hz
    first_bins = np.unique(edges.astype(int))[:-1]
    # Frames lie exactly `hop` apart; what that differs from the nominal rate is below 0.3 %.
    bands = [np.zeros((0, len(first_bins)))]
    for magnitudes in _spectra(mono, n_fft, hop):
        bands.append(np.log1p(100 * np.add.reduceat(magnitudes, first_bins, axis=1)))
    rises = np.maximum(0, np.diff(np.concatenate(bands), axis=0)).sum(axis=1)
    if len(rises) == 0:
        return rises
    n_around = int(_FRAMES_PER_SECOND)
    around = np.convolve(rises, np.ones(n_around) / n_around, mode="same")[: len(rises)]
    return rises - around


def _key(tonal: Float32[np.ndarray, " samples"], rate_hz: int) -> int | None:
    """Return the key whose profile fits the pitch classes best, or None if none fits well."""
    chroma = _chroma(tonal, rate_hz)
    if chroma.max() == chroma.min():
        return None
    fits = np.array(
        [
            np.corrcoef(chroma, np.roll(profile, tonic))[0, 1]
            for profile in (_MAJOR, _MINOR)
            for tonic in range(12)
        ]
    )
    second, best = np.sort(fits)[-2:]
    return int(fits.argmax()) if best >= _CLEAR_KEY and best - second >= _KEY_MARGIN else None


def _chroma(tonal: Float32[np.ndarray, " samples"], rate_hz: int) -> Float[np.ndarray, " classes"]:
    """Return how strong each pitch class is, whatever the tuning."""
    n_fft = 2 ** round(np.log2(_KEY_FRAME_SECONDS * rate_hz))
    low, high = (int(frequency * n_fft / rate_hz) for frequency in _KEY_RANGE_HZ)
    pitches, weights = [np.zeros(0)], [np.zeros(0)]
    for magnitudes in _spectra(tonal, n_fft, n_fft // 2):
        logs = np.log(magnitudes[:, low - 1 : high + 2] + 1e-9)
        left, middle, right = logs[:, :-2], logs[:, 1:-1], logs[:, 2:]
        is_peak = (middle > left) & (middle >= right)
        bins = np.nonzero(is_peak)[1]
        curvature = (left - 2 * middle + right)[is_peak]
        offset = 0.5 * (left - right)[is_peak] / curvature
        pitches.append(12 * np.log2((low + bins + offset) * rate_hz / n_fft / 440) + 9)
        # Roots, so that soft voices count as well as loud ones.
        weights.append(np.sqrt(np.exp(middle[is_peak])))
    pitch, weight = np.concatenate(pitches), np.concatenate(weights)
    tuning = np.angle(np.sum(weight * np.exp(2j * np.pi * pitch))) / (2 * np.pi)
    classes = np.round(pitch - tuning).astype(int) % 12
    return np.bincount(classes, weight, minlength=12)


def _spectra(
    mono: Float32[np.ndarray, " samples"], n_fft: int, hop: int
) -> Iterator[Float[np.ndarray, "frames bins"]]:
    """Yield the magnitudes of whole frames, some at a time; a full-scale tone has about 0.5."""
    if len(mono) < n_fft:
        return
    window = np.hanning(n_fft + 1)[:-1].astype(np.float32) * np.float32(2 / n_fft)
    frames = np.lib.stride_tricks.sliding_window_view(mono, n_fft)[::hop]
    for first in range(0, len(frames), _BLOCK_FRAMES):
        yield np.abs(np.fft.rfft(frames[first : first + _BLOCK_FRAMES] * window))


def _level_db(stem: Float32[np.ndarray, "2 samples"], rate_hz: int) -> float | None:
    """Return the RMS of where a stem sounds, or None if it does nowhere."""
    n_block = max(1, round(_LEVEL_BLOCK_SECONDS * rate_hz))
    powers = np.array(
        [
            np.mean(np.square(stem[:, start : start + n_block], dtype=np.float32))
            for start in range(0, stem.shape[1], n_block)
        ]
    )
    sounding = powers[powers > 10 ** (_SILENT_DB / 10)]
    if not len(sounding):
        return None
    gated = sounding[sounding > np.mean(sounding) * 10 ** (_GATE_DB / 10)]
    return round(float(10 * np.log10(np.mean(gated))), 2)
