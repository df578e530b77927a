"""What turns the estimates of several separators into one set of stems.

Members have names, and an estimate is one source of one member. A combiner is asked twice: which
stems it can give from what the members offer, and, once some are asked for, which estimates they
need and how they are computed. What is not needed is not run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from stemlight.errors import UsageError, did_you_mean
from stemlight.shapes import Float32

__all__ = [
    "KUIELAB_BLEND",
    "Bag",
    "Blend",
    "Combination",
    "Combine",
    "Combiner",
    "Estimate",
    "Offers",
    "SideBySide",
]

KUIELAB_BLEND: Mapping[str, float] = MappingProxyType(
    {"bass": 0.5, "drums": 0.5, "other": 0.7, "vocals": 0.9}
)
"""Shares of KUIELab-MDX-Net beside Demucs in the Music Demixing Challenge 2021: b in the paper's
code, the first system's weight; the second has 1 - b."""

Offers = Mapping[str, Sequence[str]]
"""The sources that each member can give, by the member's name."""

Combine = Callable[
    [Float32[np.ndarray, "estimates 2 _"], Float32[np.ndarray, "2 _"]],
    Float32[np.ndarray, "sources 2 samples"],
]
"""Estimates and mixture, `halo_samples` longer at both ends than the stems that come back."""


class Estimate(NamedTuple):
    """One source of one member."""

    member: str
    source: str

    @property
    def name(self) -> str:
        """What it is called where several members give one source: member/source."""
        return f"{self.member}/{self.source}"


@dataclass(frozen=True, kw_only=True)
class Combination:
    """How the asked stems come about."""

    needs: tuple[Estimate, ...]
    """The estimates that `combine` is given, in this order; no others are computed."""
    combine: Combine
    """Called with blocks of any length; a sample of a stem must depend on no estimate further
    away than `halo_samples`."""
    halo_samples: int = 0


@runtime_checkable  # so that the type checks of the tests can ask
class Combiner(Protocol):
    """A rule for stems that are made of the estimates of several members."""

    def sources(self, offers: Offers) -> tuple[str, ...]:
        """Return the names of the stems that these members give together.

        Raises:
            UsageError: the members do not fit this combiner.
        """

    def prepare(self, offers: Offers, asked: Sequence[str]) -> Combination:
        """Return how the asked stems, all of them known, are made."""


class Bag:
    """One dedicated member for each source; asking one stem runs one member.

    `member_of` names the member of a source that several give.
    """

    def __init__(self, member_of: Mapping[str, str] | None = None) -> None:
        self._member_of = dict(member_of or {})

    def sources(self, offers: Offers) -> tuple[str, ...]:
        """See `Combiner`.

        Raises:
            UsageError: several members give a source and none is named, or the named one does not.
        """
        sources = _all_sources(offers)
        for source in self._member_of:
            if source not in sources:
                raise UsageError(
                    f"no member of the bag gives {source!r}{did_you_mean(source, sources)}; "
                    f"they give {', '.join(sources)}"
                )
        for source in sources:
            self._estimate(offers, source)
        return sources

    def prepare(self, offers: Offers, asked: Sequence[str]) -> Combination:
        """See `Combiner`."""
        needs = tuple(self._estimate(offers, source) for source in asked)
        return Combination(needs=needs, combine=_as_they_are)

    def _estimate(self, offers: Offers, source: str) -> Estimate:
        givers = [member for member in offers if source in offers[member]]
        chosen = self._member_of.get(source)
        if chosen is None and len(givers) > 1:
            raise UsageError(
                f"{source!r} is given by the members {', '.join(givers)} of the bag but one is "
                f"needed; pass member_of={{{source!r}: {givers[0]!r}}}, or blend them"
            )
        if chosen is not None and chosen not in givers:
            raise UsageError(
                f"member_of says {chosen!r} for {source!r}, which is given by {', '.join(givers)}"
            )
        return Estimate(chosen or givers[0], source)


class SideBySide:
    """Every estimate of every member as a stem of its own, called member/source.

    It is what a mixer over several systems learns from.
    """

    def sources(self, offers: Offers) -> tuple[str, ...]:
        """See `Combiner`."""
        return tuple(estimate.name for estimate in _all_estimates(offers))

    def prepare(self, offers: Offers, asked: Sequence[str]) -> Combination:
        """See `Combiner`."""
        by_name = {estimate.name: estimate for estimate in _all_estimates(offers)}
        return Combination(needs=tuple(by_name[name] for name in asked), combine=_as_they_are)


class Blend:
    """The weighted average of all members that give a source.

    `weights` holds, for each source, the weight of each member; they are divided by their sum. A
    source without weights is the plain average of those members that give it, and a member of
    weight 0 is not run for it.

    Raises:
        UsageError: a weight is negative or not finite, or those of a source are all 0.
    """

    def __init__(self, weights: Mapping[str, Mapping[str, float]] | None = None) -> None:
        self._weights = {source: dict(by) for source, by in (weights or {}).items()}
        for source, by_member in self._weights.items():
            for member, weight in by_member.items():
                if not (math.isfinite(weight) and weight >= 0):
                    raise UsageError(
                        f"the weight of {member!r} for {source!r} is {weight}; "
                        "weights must be finite and at least 0"
                    )
            if not any(by_member.values()):
                raise UsageError(f"the weights for {source!r} are all 0; one at least must be more")

    def sources(self, offers: Offers) -> tuple[str, ...]:
        """See `Combiner`.

        Raises:
            UsageError: a weight is for a source or a member that is not there.
        """
        sources = _all_sources(offers)
        for source, by_member in self._weights.items():
            if source not in sources:
                raise UsageError(
                    f"there is a weight for {source!r}{did_you_mean(source, sources)} but the "
                    f"members give {', '.join(sources)}"
                )
            for member in by_member:
                if source not in offers.get(member, ()):
                    givers = [name for name in offers if source in offers[name]]
                    raise UsageError(
                        f"there is a weight of {member!r} for {source!r}, which is given by "
                        f"{', '.join(givers)}"
                    )
        return sources

    def prepare(self, offers: Offers, asked: Sequence[str]) -> Combination:
        """See `Combiner`."""
        shares = [self._shares(offers, source) for source in asked]
        needs = tuple(
            Estimate(member, source)
            for source, by_member in zip(asked, shares, strict=True)
            for member in by_member
        )
        rows = [list(by_member.values()) for by_member in shares]
        return Combination(needs=needs, combine=lambda estimates, _: _average(estimates, rows))

    def _shares(self, offers: Offers, source: str) -> dict[str, float]:
        """Return the share of each member that has one; they sum to 1."""
        equal = {member: 1.0 for member in offers if source in offers[member]}
        weights = self._weights.get(source, equal)
        total = math.fsum(weights.values())
        return {member: weight / total for member, weight in weights.items() if weight > 0}


def _average(
    estimates: Float32[np.ndarray, "estimates 2 samples"], rows: Sequence[Sequence[float]]
) -> Float32[np.ndarray, "sources 2 samples"]:
    """Average the estimates of each row, which follow one another, with its shares."""
    stems = np.empty((len(rows), *estimates.shape[1:]), np.float32)
    first = 0
    for stem, shares in zip(stems, rows, strict=True):
        stem[:] = estimates[first]
        # a + sum of w (x - a) is sum of w x, as the shares sum to 1, and leaves what all members
        # agree on untouched to the last bit.
        for share, other in zip(shares[1:], estimates[first + 1 :], strict=False):
            stem += np.float32(share) * (other - estimates[first])
        first += len(shares)
    return stems


def _as_they_are(
    estimates: Float32[np.ndarray, "estimates 2 samples"],
    mixture: Float32[np.ndarray, "2 samples"],
) -> Float32[np.ndarray, "estimates 2 samples"]:
    return estimates


def _all_sources(offers: Offers) -> tuple[str, ...]:
    """Return the sources of all members, each once, in the order in which they come."""
    return tuple(dict.fromkeys(source for sources in offers.values() for source in sources))


def _all_estimates(offers: Offers) -> list[Estimate]:
    return [Estimate(member, source) for member in offers for source in offers[member]]
