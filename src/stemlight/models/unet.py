"""The conditioned U-Net: one wiring for every conditioned network of the family.

Source: LaSAFT (2021), section 3; LightSAFT (2021); LASAFT-Net-v2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from stemlight.blocks.conditioning import PointwiseModulation
from stemlight.blocks.tfc_tdf import TfcFtBlock
from stemlight.configs import Estimate
from stemlight.models.heads import apply_estimate
from stemlight.shapes import Float, Int

__all__ = ["ConditionedUNet", "Encoded", "MergeSkip", "concatenate_skip"]

Planes = Float[Tensor, "batch planes frames bins"]
MergeSkip = Callable[[Tensor, Tensor], Tensor]


class Encoded(NamedTuple):
    """What the encoder and the middle hand to the decoder; skips run from shallow to deep."""

    features: Tensor
    skips: tuple[Tensor, ...]


def concatenate_skip(upsampled: Tensor, skip: Tensor) -> Tensor:
    """Join by concatenation, up-sampled features first as the published weights expect."""
    return torch.cat((upsampled, skip), dim=1)


class ConditionedUNet(nn.Module):
    """A U-Net on spectrogram planes whose decoder, at least, obeys the embedding of a target.

    Where encoder and middle are unconditioned they run once for all targets.
    """

    def __init__(
        self,
        *,
        head: nn.Module,
        levels: Iterable[tuple[TfcFtBlock, nn.Module, nn.Module, TfcFtBlock]],
        middle: TfcFtBlock,
        tail: nn.Module,
        embedding: nn.Embedding,
        conditioner: nn.Module,
        merge_skip: MergeSkip = concatenate_skip,
        estimate: Estimate = "mapping",
    ) -> None:
        """Wire the parts; `levels` are (encoder, down, up, decoder), shallowest first."""
        super().__init__()
        encoders, downs, ups, decoders = zip(*levels, strict=True)
        self.embedding = embedding
        self.conditioner = conditioner
        self.head = head
        self.encoders = nn.ModuleList(encoders)
        self.downs = nn.ModuleList(downs)
        self.middle = middle
        self.ups = nn.ModuleList(reversed(ups))
        self.decoders = nn.ModuleList(reversed(decoders))
        self.tail = tail
        self.merge_skip = merge_skip
        self.estimate: Estimate = estimate
        self.encoder_is_conditioned = any(block.conditioned for block in (*encoders, middle))

    def encode(self, planes: Planes, embedding: Tensor | None = None) -> Encoded:
        """Run head, encoder and middle; `embedding` matters only if these are conditioned."""
        features = self.head(planes)
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            features = encoder(features, embedding)
            skips.append(features)
            features = down(features)
        return Encoded(self.middle(features, embedding), tuple(skips))

    def decode(self, encoded: Encoded, embedding: Float[Tensor, "batch embedding"]) -> Tensor:
        """Run decoder and tail for one target per item of the batch."""
        features = encoded.features
        modulations: list[PointwiseModulation] = self.conditioner(embedding)
        levels = zip(self.ups, self.decoders, reversed(encoded.skips), modulations, strict=True)
        for up, decoder, skip, modulation in levels:
            features = decoder(self.merge_skip(up(features), skip), embedding, modulation)
        output: Tensor = self.tail(features)
        return output

    def forward_pairs(self, planes: Planes, sources: Int[Tensor, " batch"]) -> Planes:
        """Estimate one target for each item of the batch: item `i` gives source `sources[i]`."""
        embedding = self.embedding(sources)
        output = self.decode(self.encode(planes, embedding), embedding)
        return apply_estimate(self.estimate, planes, output)

    def forward(
        self, planes: Planes, sources: Int[Tensor, " sources"]
    ) -> Float[Tensor, "batch sources planes frames bins"]:
        """Estimate every asked source of every item; frames must divide by 2 per level."""
        n_sources = sources.shape[0]
        repeated = _for_each_source(planes, n_sources)
        embedding = _tile(self.embedding(sources), planes.shape[0])
        if self.encoder_is_conditioned:
            encoded = self.encode(repeated, embedding)
        else:
            shared = self.encode(planes)
            encoded = Encoded(
                _for_each_source(shared.features, n_sources),
                tuple(_for_each_source(skip, n_sources) for skip in shared.skips),
            )
        estimates = apply_estimate(self.estimate, repeated, self.decode(encoded, embedding))
        return rearrange(estimates, "(batch sources) ... -> batch sources ...", sources=n_sources)


def _for_each_source(items: Tensor, n_sources: int) -> Tensor:
    return repeat(items, "batch ... -> (batch sources) ...", sources=n_sources)


def _tile(per_source: Tensor, n_items: int) -> Tensor:
    return repeat(per_source, "sources ... -> (batch sources) ...", batch=n_items)
