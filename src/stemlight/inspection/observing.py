"""Lets a model separate a song, and keeps what its blocks did meanwhile."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stemlight.blocks.conditioning import ModulationPair, pointwise_modulation
from stemlight.blocks.latent_sources import LaSaft, LatentAttention, LightSaft
from stemlight.inspection.places import Place, places_of
from stemlight.inspection.subject import Subject
from stemlight.models.config import ModelConfig
from stemlight.separation import Separator
from stemlight.separation.torch_engine import TorchEngine
from stemlight.shapes import Float, Float32

__all__ = ["Gates", "Observation", "attention_of", "listens", "observe"]


@dataclass(frozen=True, kw_only=True)
class Gates:
    """How far the gates of a block were open, 0 to 1, in the mean over the song."""

    by_feature: Float[np.ndarray, "sources features"]
    by_position: Float[np.ndarray, "sources positions"]


@dataclass(frozen=True, kw_only=True)
class Observation:
    """A song, its stems, and what the blocks did, by the name of their place."""

    sample_rate_hz: int
    mixture: Float32[np.ndarray, "channels samples"]
    estimates: Mapping[str, Float32[np.ndarray, "channels samples"]]
    hop_samples: int = 1024  # from frame to frame of `attention`
    attention: Mapping[str, Float32[np.ndarray, "sources frames latents"]] = field(
        default_factory=dict
    )
    """Where blocks do not listen, there is one frame."""
    gates: Mapping[str, Gates] = field(default_factory=dict)


def attention_of(place: Place) -> LatentAttention | None:
    """Return what weighs the latent sources of a block, if it has any."""
    transformation = place.block.transformation
    if not isinstance(transformation, LaSaft | LightSaft):
        return None
    assert isinstance(transformation.attention, LatentAttention)
    return transformation.attention


def listens(subject: Subject) -> bool:
    """Tell whether the attention depends on the song, frame by frame."""
    network = subject.known_config().network
    return network.has_latents and (network.query_listens or network.key_listens)


def observe(
    subject: Subject, mixture: Float32[np.ndarray, "2 samples"], *, n_threads: int = 0
) -> Observation:
    """Separate a stereo mixture at the model's rate with PyTorch, and look at the blocks."""
    config, model = subject.known_config(), subject.known_model()
    engine = TorchEngine(
        model,
        sources=subject.sources,
        sample_rate_hz=subject.sample_rate_hz,
        n_threads=n_threads,
    )
    recorder = _Recorder(subject)
    with recorder.attached():
        estimates = Separator(engine, config.chunk)(mixture)
    n_samples = mixture.shape[1]
    return Observation(
        sample_rate_hz=subject.sample_rate_hz,
        mixture=mixture,
        estimates=estimates,
        hop_samples=config.stft.hop_samples,
        attention={
            place.name: _along_song(recorder.attention[place.name], place, config, n_samples)
            for place in recorder.places
            if place.name in recorder.attention
        },
        gates={name: total.mean() for name, total in recorder.gates.items()},
    )


@dataclass
class _GateTotal:
    """Sums over the windows of a song, which all have the same length."""

    by_feature: Any = 0.0
    by_position: Any = 0.0
    n_windows: int = 0

    def add(self, gates: Float[Tensor, "sources features frames positions"]) -> None:
        self.by_feature = self.by_feature + gates.mean(dim=(2, 3)).cpu().numpy()
        self.by_position = self.by_position + gates.mean(dim=(1, 2)).cpu().numpy()
        self.n_windows += 1

    def mean(self) -> Gates:
        return Gates(
            by_feature=self.by_feature / self.n_windows,
            by_position=self.by_position / self.n_windows,
        )


class _Recorder:
    """Hooks that keep the attention of each window, and the mean of the gates."""

    def __init__(self, subject: Subject) -> None:
        self._network = subject.known_network()
        self._is_gated = subject.known_config().network.modulation == "gpocm"
        self.places = places_of(subject)
        self.attention: dict[str, list[np.ndarray]] = defaultdict(list)
        self.gates: dict[str, _GateTotal] = defaultdict(_GateTotal)

    @contextmanager
    def attached(self) -> Iterator[None]:
        handles = [
            attention.register_forward_hook(self._keep_attention(place.name))
            for place in self.places
            if (attention := attention_of(place)) is not None
        ]
        if self._is_gated:
            handles += [
                place.block.tfc.register_forward_hook(self._keep_gates(place.name, modulation))
                for place, modulation in zip(self.places, self._modulations(), strict=True)
                if modulation is not None
            ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _modulations(self) -> Sequence[ModulationPair | None]:
        with torch.no_grad():
            told = self._network.conditions(torch.arange(self._network.n_sources))
        return [*told.encoders, told.middle, *told.decoders]

    def _keep_attention(self, name: str) -> Any:
        def keep(module: object, inputs: object, weights: Tensor) -> None:
            self.attention[name].append(weights.detach().cpu().numpy())

        return keep

    def _keep_gates(self, name: str, modulation: ModulationPair) -> Any:
        def keep(module: object, inputs: object, features: Tensor) -> None:
            self.gates[name].add(torch.sigmoid(pointwise_modulation(features, modulation)))

        return keep


def _along_song(
    windows: Sequence[Float32[np.ndarray, "sources window_frames latents"]],
    place: Place,
    config: ModelConfig,
    n_samples: int,
) -> Float32[np.ndarray, "sources frames latents"]:
    """Take for each frame of the song what the window did whose kept part the frame lies in."""
    if windows[0].shape[1] == 1:  # does not listen: all windows are alike
        return windows[0]
    hop_samples, plan = config.stft.hop_samples, config.chunk
    # The middle of a frame that is not centred lies half a frame after its beginning.
    late_samples = 0 if config.stft.centered else config.stft.n_fft // 2
    times = np.arange(-(-n_samples // hop_samples)) * hop_samples
    numbers = np.minimum(times // plan.hop_samples, len(windows) - 1)
    starts = numbers * plan.hop_samples - plan.trim_samples
    frames = np.maximum((times - starts - late_samples) // hop_samples, 0) // place.hops_per_frame
    frames = np.minimum(frames, windows[0].shape[1] - 1)
    return np.stack(windows)[numbers, :, frames].swapaxes(0, 1)
