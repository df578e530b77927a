"""What a model is, as frozen configs: its network, and what surrounds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stemlight.chunking import ChunkPlan
from stemlight.configs import (
    Activation,
    Estimate,
    GammaOrder,
    LatentOrder,
    Modulation,
    Norm,
    StftConfig,
)
from stemlight.errors import ConfigError

__all__ = ["SOURCES", "Blocks", "ModelConfig", "UNetConfig"]

SOURCES = ("vocals", "drums", "bass", "other")
"""Order of the sources of all conditioned networks, which is that of the published weights."""

_SHORT_FRAMES = 32

Blocks = Literal["all", "encoder", "decoder"]
"""Blocks of a U-Net: encoder and decoder leave the middle out, all has it."""


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """A U-Net on spectrogram planes: dedicated, multi-head or conditioned.

    Latent sources or a modulation make it conditioned: a control vector says which source to
    estimate. Without either, one pass estimates all `n_sources`: a dedicated network has one, a
    multi-head network several.

    `features` holds one width for all levels, or one for each level and, last, the middle.
    """

    n_blocks: int  # encoders, middle and decoders together: odd
    features: tuple[int, ...]
    n_sources: int = 4
    n_planes: int = 4
    merge_skip: Literal["concatenate", "multiply"] = "concatenate"
    halved_frames: tuple[int, ...] | None = None  # levels that halve the frames; None: all
    halved_bins: tuple[int, ...] | None = None  # levels that halve the bins; None: all

    # Ends
    head: Literal["pairs", "pointwise", "folded", "bands"] = "pairs"
    bins_per_fold: int | None = None  # of the folded head
    bands: tuple[tuple[int, int], ...] | None = None  # of the head of bands: (number, bins of each)
    estimate: Estimate = "mapping"

    # Convolutions of a block
    n_tfc_layers: int = 5
    dense: bool = True  # each layer reads all former ones
    kernel_frames: int = 3  # 1: every frame alone (TDC)
    kernel_bins: int = 3

    # Frequency transformation of a block
    transformation: Literal["none", "tdf", "lasaft", "lightsaft"] = "tdf"
    latent_blocks: Blocks = "decoder"  # others have a plain TDF
    bn_factor: int | None = 16  # None: no bottleneck
    min_bn_units: int = 16
    bias: bool = False
    affine_tdf_norm: bool = True
    n_latents: int = 6  # |S_L| in the paper
    key_dim: int = 32  # d_k in the paper
    query_listens: bool = False
    key_listens: bool = False
    latent_order: LatentOrder = "units-first"  # of a lightsaft
    norm_after_widening: bool = False  # of a lightsaft

    # Control
    control: Literal["embedding", "linear", "one-hot"] = "embedding"
    embedding_dim: int = 32
    modulation: Modulation = "none"
    modulated_blocks: Blocks = "decoder"
    conditioner: Literal["shared", "per-block"] = "per-block"
    n_control_layers: int = 3  # of a shared conditioner
    normalize_modulation: bool = False  # of a shared conditioner
    gamma_activation: Activation = "identity"  # of a shared conditioner
    beta_activation: Activation = "identity"
    gamma_order: GammaOrder = "in-first"

    # Norms and activations
    norm: Norm = "batch"
    activation: Activation = "relu"
    head_activation: Activation | None = None  # None: as `activation`
    resampling_activation: Activation = "relu"
    tail_activation: Activation = "identity"

    def __post_init__(self) -> None:
        self._check_counts()
        self._check_shape()
        self._check_kinds()

    @property
    def n_levels(self) -> int:
        """Down-sampling steps."""
        return self.n_blocks // 2

    @property
    def is_conditioned(self) -> bool:
        """Whether a control vector names the source."""
        return self.modulation != "none" or self.has_latents

    @property
    def has_latents(self) -> bool:
        """Whether blocks attend to latent sources."""
        return self.transformation in ("lasaft", "lightsaft")

    @property
    def control_dim(self) -> int:
        """Length of the control vector: a one-hot vector has one entry for each source."""
        return self.n_sources if self.control == "one-hot" else self.embedding_dim

    @property
    def frame_multiple(self) -> int:
        """Frames of a window must be a multiple of this."""
        halved = range(self.n_levels) if self.halved_frames is None else self.halved_frames
        return int(2 ** len(halved))

    def strides(self, level: int) -> tuple[int, int]:
        """Return by what a level divides frames and bins."""
        frames, bins = (
            2 if levels is None or level in levels else 1
            for levels in (self.halved_frames, self.halved_bins)
        )
        return frames, bins

    def _check_counts(self) -> None:
        names = ("n_sources", "n_planes", "n_tfc_layers", "n_latents", "key_dim", "embedding_dim")
        counts = [(name, getattr(self, name)) for name in (*names, "bn_factor", "bins_per_fold")]
        counts += [("features", width) for width in self.features]
        for name, count in counts:
            if count is not None and count < 1:
                raise ConfigError(f"{name} must be at least 1, not {count}")

    def _check_shape(self) -> None:
        if self.n_blocks < 3 or self.n_blocks % 2 == 0:
            raise ConfigError(f"n_blocks must be an odd number of at least 3, not {self.n_blocks}")
        if len(self.features) not in (1, self.n_levels + 1):
            raise ConfigError(
                f"features needs 1 width or {self.n_levels + 1} (one per level and the middle) "
                f"for n_blocks {self.n_blocks}, not {len(self.features)}"
            )
        for name in ("kernel_frames", "kernel_bins"):
            if getattr(self, name) < 1 or getattr(self, name) % 2 == 0:
                raise ConfigError(f"{name} must be an odd number, not {getattr(self, name)}")
        for name in ("halved_frames", "halved_bins"):
            levels = getattr(self, name)
            if levels is not None and not set(levels) <= set(range(self.n_levels)):
                raise ConfigError(
                    f"{name} must name levels in 0..{self.n_levels - 1}, not {list(levels)}"
                )
        for level in range(self.n_levels):
            if self.strides(level) == (1, 1):
                raise ConfigError(
                    f"level {level} halves neither frames nor bins; add it to halved_frames "
                    "or halved_bins"
                )

    def _check_kinds(self) -> None:
        if (self.head == "folded") != (self.bins_per_fold is not None):
            raise ConfigError(
                f"head 'folded' and bins_per_fold belong together; got head {self.head!r} with "
                f"bins_per_fold {self.bins_per_fold}"
            )
        if (self.head == "bands") != (self.bands is not None):
            raise ConfigError(
                f"head 'bands' and bands belong together; got head {self.head!r} with bands "
                f"{self.bands}"
            )
        if any(min(group) < 1 for group in self.bands or ()):
            raise ConfigError(f"bands must be pairs of numbers of at least 1, not {self.bands}")
        if (self.estimate in ("gain", "matrix")) != (self.head in ("folded", "bands")):
            raise ConfigError(
                "estimates 'gain' and 'matrix' belong to the heads 'folded' and 'bands', and only "
                f"to them; got {self.estimate!r} with head {self.head!r}"
            )
        if self.conditioner == "per-block" and self.modulation == "film-simple":
            raise ConfigError("modulation 'film-simple' needs conditioner 'shared'")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A whole model: what it hears, how it sees a window, its network, and what it gives."""

    stft: StftConfig
    network: UNetConfig
    chunk: ChunkPlan
    sources: tuple[str, ...] = SOURCES
    sample_rate_hz: int = 44_100
    output_gain: float = 1.0  # of every estimate; published weights may lose a little level

    def __post_init__(self) -> None:
        if len(self.sources) != self.network.n_sources:
            raise ConfigError(
                f"{len(self.sources)} sources ({', '.join(self.sources)}) do not fit a network of "
                f"{self.network.n_sources}; make network.n_sources {len(self.sources)}"
            )
        if self.network.n_planes != self.stft.n_planes:
            raise ConfigError(
                f"a {self.stft.representation} spectrogram of stereo has {self.stft.n_planes} "
                f"planes, the network takes {self.network.n_planes}; make network.n_planes "
                f"{self.stft.n_planes}"
            )
        multiple = self.network.frame_multiple
        if self.n_frames % multiple:
            raise ConfigError(
                f"a chunk of {self.n_frames} frames does not halve {multiple.bit_length() - 1} "
                f"times; give chunk_samples of a multiple of {multiple} frames, for example "
                f"{self.stft.window_samples(-(-self.n_frames // multiple) * multiple)}"
            )

    @property
    def n_frames(self) -> int:
        """Frames of a window."""
        return self.stft.n_frames(self.chunk.chunk_samples)

    def low_latency_chunk(self) -> ChunkPlan:
        """Return windows for streams: 32 frames, or a few more where the network asks for them.

        Short windows are less late, and cost more work and some quality: `docs/experiments.md`.
        """
        multiple = self.network.frame_multiple
        return ChunkPlan(
            chunk_samples=self.stft.window_samples(multiple * -(-_SHORT_FRAMES // multiple)),
            trim_samples=4 * self.stft.hop_samples,
            overlap_samples=2 * self.stft.hop_samples,
        )

    @property
    def band_limit_hz(self) -> float:
        """Frequency above which the model gives silence."""
        all_bins = self.stft.n_fft // 2 + 1
        kept_bins = self.stft.kept_bins or all_bins
        # The last bin of all lies at half of the sample rate, the one of a cut-off below it.
        top_bin = min(kept_bins, all_bins - 1)
        return top_bin * self.sample_rate_hz / self.stft.n_fft
