"""The U-Net: one wiring for every network of the family.

Source: "Investigating U-Nets with various intermediate blocks for spectrogram-based singing voice
separation" (ISMIR 2020); LaSAFT (2021), section 3; LightSAFT (2021); KUIELab-MDX-Net (2021).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from stemlight.blocks.conditioning import ModulationPair
from stemlight.blocks.tfc_tdf import TfcFtBlock
from stemlight.configs import Estimate
from stemlight.models.heads import apply_estimate
from stemlight.shapes import Float, Int

__all__ = ["Conditions", "Encoded", "MergeSkip", "UNet", "concatenate_skip"]

Planes = Float[Tensor, "batch planes frames bins"]
MergeSkip = Callable[[Tensor, Tensor], Tensor]
_Modulations = Sequence[ModulationPair | None]


class Conditions(NamedTuple):
    """What one target per item of a batch tells the blocks; blocks without a modulation get None.

    Encoders run from shallow to deep, decoders from deep to shallow.
    """

    control: Tensor | None
    encoders: _Modulations
    middle: ModulationPair | None
    decoders: _Modulations


class Encoded(NamedTuple):
    """What the encoder and the middle hand to the decoder; skips run from shallow to deep."""

    features: Tensor
    skips: tuple[Tensor, ...]


def concatenate_skip(upsampled: Tensor, skip: Tensor) -> Tensor:
    """Join by concatenation, up-sampled features first as the published weights expect."""
    return torch.cat((upsampled, skip), dim=1)


class UNet(nn.Module):
    """A U-Net on spectrogram planes.

    With a control, blocks obey the control vector of a target: where encoder and middle are
    unconditioned they run once for all targets. Without, one pass gives all sources.
    """

    def __init__(
        self,
        *,
        head: nn.Module,
        levels: Iterable[tuple[TfcFtBlock, nn.Module, nn.Module, TfcFtBlock]],
        middle: TfcFtBlock,
        tail: nn.Module,
        tail_activation: nn.Module,
        n_sources: int,
        control: nn.Module | None = None,
        conditioner: nn.Module | None = None,
        merge_skip: MergeSkip = concatenate_skip,
        estimate: Estimate = "mapping",
    ) -> None:
        """Wire the parts; `levels` are (encoder, down, up, decoder), shallowest first."""
        super().__init__()
        encoders, downs, ups, decoders = zip(*levels, strict=True)
        self.n_sources = n_sources
        self.embedding = control
        self.conditioner = conditioner
        self.head = head
        self.encoders = nn.ModuleList(encoders)
        self.downs = nn.ModuleList(downs)
        self.middle = middle
        self.ups = nn.ModuleList(reversed(ups))
        self.decoders = nn.ModuleList(reversed(decoders))
        self.tail = tail
        self.tail_activation = tail_activation
        self.merge_skip = merge_skip
        self.estimate: Estimate = estimate
        self.encoder_is_conditioned = any(block.conditioned for block in (*encoders, middle))
        self.splits_skips = False

    def split_skips(self) -> None:
        """Convolve skips apart from what they are concatenated to, where that saves work.

        It does where skips are the same for all sources. The network computes what it computed,
        but its weights have other names and shapes.
        """
        shares_skips = self.is_conditioned and not self.encoder_is_conditioned
        if self.splits_skips or not shares_skips or self.merge_skip is not concatenate_skip:
            return
        self.splits_skips = True
        for decoder, encoder in zip(self.decoders, reversed(self.encoders), strict=True):
            assert isinstance(decoder, TfcFtBlock)
            assert isinstance(encoder, TfcFtBlock)
            decoder.tfc.split_skip(encoder.tfc.n_out)

    @property
    def is_conditioned(self) -> bool:
        """Whether a control vector names the source; otherwise one pass gives all."""
        return self.embedding is not None

    def conditions(self, sources: Int[Tensor, " batch"]) -> Conditions:
        """Return what the blocks need to estimate `sources[i]` from item `i`."""
        assert self.embedding is not None, "this network has no control"
        control = self.embedding(sources)
        modulations = [] if self.conditioner is None else self.conditioner(control)
        waiting = iter(modulations)
        encoders, (middle,), decoders = (
            [next(waiting) if block.modulate is not None else None for block in blocks]
            for blocks in (self.encoders, (self.middle,), self.decoders)
        )
        return Conditions(control, encoders, middle, decoders)

    def _nothing(self) -> Conditions:
        n_levels = len(self.downs)
        return Conditions(None, [None] * n_levels, None, [None] * n_levels)

    def encode(self, planes: Planes, conditions: Conditions | None = None) -> Encoded:
        """Run head, encoder and middle; `conditions` matter only if these are conditioned."""
        told = conditions or self._nothing()
        features = self.head(planes)
        skips = []
        for encoder, down, modulation in zip(self.encoders, self.downs, told.encoders, strict=True):
            features = encoder(features, told.control, modulation)
            skips.append(features)
            features = down(features)
        return Encoded(self.middle(features, told.control, told.middle), tuple(skips))

    def decode(self, encoded: Encoded, conditions: Conditions | None = None) -> Tensor:
        """Run decoder and tail: one target per item of the batch, or all sources."""
        return self._decode(encoded, conditions or self._nothing(), self.merge_skip)

    def _decode(self, encoded: Encoded, told: Conditions, merge_skip: MergeSkip) -> Tensor:
        features = encoded.features
        levels = zip(self.ups, self.decoders, reversed(encoded.skips), told.decoders, strict=True)
        for up, decoder, skip, modulation in levels:
            if self.splits_skips:
                features = decoder(up(features), told.control, modulation, skip)
            else:
                features = decoder(merge_skip(up(features), skip), told.control, modulation)
        output: Tensor = self.tail_activation(self.tail(features))
        return output

    def _merge_shared_skip(self, n_sources: int, upsampled: Tensor, skip: Tensor) -> Tensor:
        """Join features of all sources with the one skip of their item, where it can be, as it is.

        Only a concatenation has to write it out for each source.
        """
        if self.merge_skip is concatenate_skip:
            return self.merge_skip(upsampled, _for_each_source(skip, n_sources))
        by_item = rearrange(upsampled, "(b s) ... -> b s ...", s=n_sources)
        return rearrange(self.merge_skip(by_item, skip.unsqueeze(1)), "b s ... -> (b s) ...")

    def output_of_pairs(self, planes: Planes, sources: Int[Tensor, " batch"]) -> Tensor:
        """Return the network's own output, before it is taken for a source or for a mask."""
        if self.is_conditioned:
            conditions = self.conditions(sources)
            return self.decode(self.encode(planes, conditions), conditions)
        output = self._output_of_all(planes)
        return output[torch.arange(len(sources), device=sources.device), sources]

    def forward_pairs(self, planes: Planes, sources: Int[Tensor, " batch"]) -> Planes:
        """Estimate one target for each item of the batch: item `i` gives source `sources[i]`."""
        return apply_estimate(self.estimate, planes, self.output_of_pairs(planes, sources))

    def forward(
        self, planes: Planes, sources: Int[Tensor, " sources"]
    ) -> Float[Tensor, "batch sources planes frames bins"]:
        """Estimate every asked source of every item; frames must divide as the levels ask."""
        if not self.is_conditioned:
            output = self._output_of_all(planes)[:, sources]
        else:
            output = self._output_of_asked(planes, sources)
        return apply_estimate(self.estimate, planes.unsqueeze(1), output)

    def _output_of_asked(
        self, planes: Planes, sources: Int[Tensor, " sources"]
    ) -> Float[Tensor, "batch sources outputs frames bins"]:
        n_sources = sources.shape[0]
        conditions = self.conditions(repeat(sources, "s -> (b s)", b=planes.shape[0]))
        if self.encoder_is_conditioned:
            encoded = self.encode(_for_each_source(planes, n_sources), conditions)
            output = self.decode(encoded, conditions)
        else:
            shared = self.encode(planes)
            encoded = Encoded(_for_each_source(shared.features, n_sources), shared.skips)
            output = self._decode(encoded, conditions, partial(self._merge_shared_skip, n_sources))
        return rearrange(output, "(b s) ... -> b s ...", s=n_sources)

    def _output_of_all(self, planes: Planes) -> Tensor:
        output = self.decode(self.encode(planes))
        return rearrange(output, "b (s planes) ... -> b s planes ...", s=self.n_sources)


def _for_each_source(items: Tensor, n_sources: int) -> Tensor:
    return repeat(items, "batch ... -> (batch sources) ...", sources=n_sources)
