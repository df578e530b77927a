"""Learns mixers over any set of frozen separators.

The separators are a callable; what it returns, by name, is what the mixer reads. One `Ensemble`
gives the estimates of many: with `Bag` those of dedicated networks, with `SideBySide` those of
systems that give the same sources.

A linear mixer has a closed form: the least squares of all samples. A deeper one starts there and
is trained.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stemlight.errors import ConfigError, InputError
from stemlight.models.mixer import MixerConfig, WaveformMixer, build_mixer
from stemlight.separation.mixers import MixerWeights
from stemlight.shapes import Float32

__all__ = ["MixerTraining", "fit_linear_mixer", "train_mixer"]

Track = tuple[np.ndarray, Mapping[str, np.ndarray]]
"""A stereo mixture `(2, samples)` and its sources, of the separators' sample rate."""

Separate = Callable[[np.ndarray], Mapping[str, np.ndarray]]

_BLOCK_SAMPLES = 1 << 16  # what is widened to float64 at once
_LEAST_SHARE = 1e-12  # energy, against the strongest: 120 dB below lie the roundings of float32


@dataclass(frozen=True, kw_only=True)
class MixerTraining:
    """How a mixer is trained; the defaults are the paper's, where its code says so.

    Source: KUIELab-MDX-Net, "Configurations and Training" (RMSprop without momentum).
    """

    learning_rate: float = 3e-3
    n_epochs: int = 10
    batch_size: int = 16
    chunk_samples: int = 261_120
    trim_samples: int = 8192
    """Samples at both ends of a chunk that the loss does not count."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n_epochs", "batch_size", "chunk_samples"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 < self.learning_rate < float("inf"):
            raise ConfigError(f"learning_rate must be more than 0, not {self.learning_rate}")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"seed must lie in 0..{2**32 - 1}, not {self.seed}")
        if not 0 <= 2 * self.trim_samples < self.chunk_samples:
            raise ConfigError(
                f"trim_samples must lie in 0..{(self.chunk_samples - 1) // 2} for chunk_samples "
                f"{self.chunk_samples}, not {self.trim_samples}"
            )


def fit_linear_mixer(
    tracks: Iterable[Track], separate: Separate, *, sources: Sequence[str] | None = None
) -> MixerWeights:
    """Return the linear mixer of the least squared error over all samples of all tracks.

    Each track is separated once and forgotten; sums are float64. `sources` are those of the first
    track's references unless named. Where the estimates leave a choice (they add up to the mixture,
    or one is silent) the mixer changes as little as can be.

    Raises:
        InputError: there are no tracks, or they do not have the same sources and estimates.
        WeightsError: a source has no estimate.
    """
    return _least_squares(_examples(tracks, separate, sources))


def train_mixer(
    tracks: Iterable[Track],
    separate: Separate,
    config: MixerConfig,
    *,
    training: MixerTraining | None = None,
    sources: Sequence[str] | None = None,
    cache: Path | None = None,
) -> MixerWeights:
    """Train a mixer from the closed form on, and return the best of all epochs and the start.

    Best is the least squared error over all tracks, so the result is never worse on them than
    `fit_linear_mixer`'s. Depends on the seed alone, on one machine. `config`'s numbers of estimates
    and sources are those of the tracks. Estimates and references are kept in memory, 3 MB for each
    second of four sources; with `cache`, a folder, they are kept there.

    Differs: the authors' code separates each chunk anew in every epoch; here a track is separated
    once, whole, and the chunks are cut from that.

    Raises:
        InputError: tracks do not have the same sources and estimates, or none has a whole chunk.
        ConfigError: `config` is of another number of estimates or sources.
        WeightsError: a source has no estimate.
    """
    training = training or MixerTraining()
    examples = [
        example.kept_in(cache, number)
        for number, example in enumerate(_examples(tracks, separate, sources))
    ]
    start = _least_squares(iter(examples))
    counts = {"n_estimates": len(start.estimates), "n_sources": len(start.sources)}
    for field, count in counts.items():
        if getattr(config, field) != count:
            raise ConfigError(f"{field} is {getattr(config, field)} but the tracks give {count}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)
        mixer = build_mixer(config)
    with torch.no_grad():
        mixer.linear.weight.copy_(torch.from_numpy(start.linear))
    return _train(mixer, examples, training)


@dataclass(frozen=True, kw_only=True)
class _Example:
    """A separated track: arrays `(signals, 2, samples)` and `(sources, 2, samples)`."""

    estimates: tuple[str, ...]
    sources: tuple[str, ...]
    signals: Float32[np.ndarray, "signals 2 samples"]
    references: Float32[np.ndarray, "sources 2 samples"]

    @property
    def n_samples(self) -> int:
        return self.signals.shape[2]

    def kept_in(self, folder: Path | None, number: int) -> _Example:
        """Write the arrays into `folder` and map them into memory from there."""
        if folder is None:
            return self
        folder.mkdir(parents=True, exist_ok=True)
        kept = {}
        for name in ("signals", "references"):
            path = folder / f"{number:05d}.{name}.npy"
            np.save(path, getattr(self, name))
            kept[name] = np.load(path, mmap_mode="r")
        return _Example(estimates=self.estimates, sources=self.sources, **kept)


def _examples(
    tracks: Iterable[Track], separate: Separate, sources: Sequence[str] | None
) -> Iterator[_Example]:
    """Separate the tracks one by one; the first says which names there are."""
    names: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    for number, (mixture, references) in enumerate(tracks, start=1):
        if mixture.ndim != 2 or mixture.shape[0] != 2:
            raise InputError(
                f"the mixture of track {number} has the shape {mixture.shape} but (2, samples) is "
                "needed"
            )
        estimates = separate(mixture)
        if names is None:
            names = tuple(estimates), tuple(references if sources is None else sources)
        signals = _stacked(estimates, names[0], mixture.shape, f"estimates of track {number}")
        yield _Example(
            estimates=names[0],
            sources=names[1],
            signals=np.concatenate([signals, mixture[np.newaxis]]).astype(np.float32, copy=False),
            references=_stacked(
                references, names[1], mixture.shape, f"references of track {number}"
            ),
        )
    if names is None:
        raise InputError("there are no tracks to learn a mixer from")


def _stacked(
    signals: Mapping[str, np.ndarray], names: Sequence[str], shape: tuple[int, ...], what: str
) -> Float32[np.ndarray, "signals 2 samples"]:
    for name in names:
        if name not in signals:
            raise InputError(f"the {what} have no {name!r}; they are {', '.join(signals)}")
        if signals[name].shape != shape:
            raise InputError(
                f"{name!r} of the {what} has the shape {signals[name].shape} but the mixture has "
                f"{shape}"
            )
    return np.stack([signals[name] for name in names]).astype(np.float32, copy=False)


def _least_squares(examples: Iterator[_Example]) -> MixerWeights:
    """Solve the normal equations of what is to be added to the mixer that changes nothing.

    With W = P + D, the error R - (P + D) X is least where D (X X') = (R - P X) X'. Solved for the
    change D of least norm: a direction that X does not have stays as P has it.
    """
    first_example = next(examples)
    unchanged = MixerWeights.pass_through(first_example.estimates, first_example.sources)
    start = unchanged.linear.astype(np.float64)
    squares = np.zeros((start.shape[1], start.shape[1]))
    products = np.zeros_like(start)
    for example in itertools.chain([first_example], examples):
        for first in range(0, example.n_samples, _BLOCK_SAMPLES):
            block = slice(first, first + _BLOCK_SAMPLES)
            inputs = _rows(example.signals[:, :, block])
            missing = _rows(example.references[:, :, block]) - start @ inputs
            squares += inputs @ inputs.T
            products += missing @ inputs.T
    change = np.linalg.lstsq(squares, products.T, rcond=_LEAST_SHARE)[0].T
    return dataclasses.replace(unchanged, linear=(start + change).astype(np.float32))


def _rows(signals: np.ndarray) -> np.ndarray:
    """Return both channels of each signal as rows of float64."""
    return signals.reshape(-1, signals.shape[-1]).astype(np.float64)


def _train(
    mixer: WaveformMixer, examples: Sequence[_Example], training: MixerTraining
) -> MixerWeights:
    optimizer = torch.optim.RMSprop(mixer.parameters(), lr=training.learning_rate)
    best, least = _weights(mixer, examples[0]), _mean_squared_error(mixer, examples)
    for epoch in range(training.n_epochs):
        for signals, references in _batches(examples, training, epoch):
            error = mixer(signals) - references
            kept = error[..., training.trim_samples : error.shape[-1] - training.trim_samples]
            optimizer.zero_grad()
            kept.square().mean().backward()
            optimizer.step()
        reached = _mean_squared_error(mixer, examples)
        if reached < least:
            best, least = _weights(mixer, examples[0]), reached
    return best


def _batches(
    examples: Sequence[_Example], training: MixerTraining, epoch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Give as many chunks as the tracks hold, of random places, the longer tracks more often."""
    n_samples = training.chunk_samples
    n_chunks = np.array([example.n_samples // n_samples for example in examples])
    if not n_chunks.any():
        raise InputError(
            f"no track has {n_samples} samples; make chunk_samples smaller or add longer tracks"
        )
    generator = np.random.default_rng((training.seed, epoch))
    order = generator.permutation(np.repeat(np.arange(len(examples)), n_chunks))
    for first in range(0, len(order), training.batch_size):
        chunks = []
        for index in order[first : first + training.batch_size]:
            start = generator.integers(0, examples[index].n_samples - n_samples + 1)
            cut = (..., slice(start, start + n_samples))
            chunks.append((examples[index].signals[cut], examples[index].references[cut]))
        signals, references = (np.stack(arrays) for arrays in zip(*chunks, strict=True))
        yield torch.from_numpy(signals), torch.from_numpy(references)


def _mean_squared_error(mixer: WaveformMixer, examples: Sequence[_Example]) -> float:
    """Return the error over all samples of all tracks."""
    total, n_values = 0.0, 0
    halo = mixer.halo_samples
    for example in examples:
        weights = _weights(mixer, example)
        for first in range(0, example.n_samples, _BLOCK_SAMPLES):
            stop = min(first + _BLOCK_SAMPLES, example.n_samples)
            read = slice(max(0, first - halo), min(stop + halo, example.n_samples))
            outside = ((0, 0), (0, 0), (read.start - first + halo, stop + halo - read.stop))
            signals = np.pad(example.signals[:, :, read], outside)
            error = weights.mix(signals[:-1], signals[-1]) - example.references[:, :, first:stop]
            total += float(np.square(error, dtype=np.float64).sum())
            n_values += error.size
    return total / max(1, n_values)


def _weights(mixer: WaveformMixer, example: _Example) -> MixerWeights:
    """Copy the weights out of the module."""
    return MixerWeights.from_tensors(
        {name: tensor.numpy().copy() for name, tensor in mixer.state_dict().items()},
        estimates=example.estimates,
        sources=example.sources,
    )
