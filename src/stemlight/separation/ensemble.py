"""Systems made of several separators: bags, mixers, blends, and any of them within another.

         -> pipeline of member a -> queue ->
mixture  -> pipeline of member b -> queue -> combine what all have -> stems
         -> queue ------------------------->

Members have windows of their own and finish at times of their own. Queues hold what the slowest
has not finished yet, and what is combined is cut at fixed places, so how the signal was pushed
changes no bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from stemlight.errors import UsageError, did_you_mean
from stemlight.separation.combiners import Blend, Combination, Combiner, Offers
from stemlight.separation.layouts import ChannelLayout
from stemlight.separation.pipeline import Pieces, PipelineMaker, StemPipeline
from stemlight.separation.queues import SampleQueue
from stemlight.separation.separator import Separator
from stemlight.shapes import Float32

__all__ = ["Ensemble", "EnsembleMaker", "EnsemblePipeline", "blend"]

_BLOCK_SAMPLES = 4096  # what is combined at once: a tenth of a second of lag, at most


class Ensemble(Separator):
    """Several separators that give one set of stems; used like any one of them.

    `members` are separators by name, ensembles among them, all of one sample rate. The combiner
    says which stems come of their estimates: `Bag`, `Blend`, `Mixer`. Members that the asked stems
    do not need are not run.

    `lag_samples` of a stream stays, at the members' rate, below the longest lag of any member that
    runs, plus 4096 samples and the combiner's halo. Queues hold as much, and the halo once more.

    Raises:
        UsageError: no members, members of several sample rates, or members that do not give what
            the combiner needs.
    """

    def __init__(self, members: Mapping[str, Separator], combiner: Combiner) -> None:
        self._maker = EnsembleMaker(
            {name: member.maker for name, member in members.items()}, combiner
        )


class EnsembleMaker:
    """Makes the pipelines of an ensemble.

    Raises:
        UsageError: see `Ensemble`.
    """

    def __init__(self, members: Mapping[str, PipelineMaker], combiner: Combiner) -> None:
        if not members:
            raise UsageError("an ensemble has no members; name at least one separator")
        rates_hz = {name: member.sample_rate_hz for name, member in members.items()}
        if len(set(rates_hz.values())) > 1:
            told = ", ".join(f"{name} {rate_hz} Hz" for name, rate_hz in rates_hz.items())
            raise UsageError(
                f"the members of an ensemble have several sample rates: {told}; "
                "combine members of one rate"
            )
        self._members = dict(members)
        self._combiner = combiner
        self._offers: Offers = {name: member.sources for name, member in members.items()}
        self._sources = combiner.sources(self._offers)

    @property
    def sources(self) -> tuple[str, ...]:
        """See `PipelineMaker`."""
        return self._sources

    @property
    def sample_rate_hz(self) -> int:
        """See `PipelineMaker`."""
        return next(iter(self._members.values())).sample_rate_hz

    @property
    def hop_samples(self) -> int:
        """See `PipelineMaker`."""
        return max(member.hop_samples for member in self._members.values())

    def pipeline(self, sources: Sequence[str], layout: ChannelLayout) -> EnsemblePipeline:
        """See `PipelineMaker`."""
        combination = self._combiner.prepare(self._offers, sources)
        asked: dict[str, list[str]] = {}
        for estimate in combination.needs:
            named = asked.setdefault(estimate.member, [])
            if estimate.source not in named:
                named.append(estimate.source)
        members = [
            _Member(self._members[name].pipeline(named, layout), len(named), layout, combination)
            for name, named in asked.items()
        ]
        # Where each needed estimate lies among those of all members, one after another.
        there = [(name, source) for name, named in asked.items() for source in named]
        rows = [there.index((estimate.member, estimate.source)) for estimate in combination.needs]
        return EnsemblePipeline(members, layout, combination, rows)


class _Member:
    """A pipeline and what it finished before the others."""

    def __init__(
        self,
        pipeline: StemPipeline,
        n_sources: int,
        layout: ChannelLayout,
        combination: Combination,
    ) -> None:
        self._pipeline = pipeline
        self.queue = SampleQueue(n_sources, layout.n_channels)
        self.queue.push(_silence(self.queue, combination.halo_samples))

    def push(self, block: Float32[np.ndarray, "channels samples"]) -> None:
        self._take(self._pipeline.push(block))

    def flush(self) -> None:
        self._take(self._pipeline.flush())

    def _take(self, pieces: Pieces) -> None:
        for piece in pieces:
            self.queue.push(piece)


class EnsemblePipeline:
    """Runs all members on one signal and combines what all of them have finished."""

    def __init__(
        self,
        members: Sequence[_Member],
        layout: ChannelLayout,
        combination: Combination,
        rows: Sequence[int],
    ) -> None:
        self._members = members
        self._layout = layout
        self._combination = combination
        self._rows = None if list(rows) == list(range(len(rows))) else list(rows)
        self._mixture = SampleQueue(layout.n_channels)
        # The signal lies between zeros: the halo of its first and last samples.
        self._mixture.push(_silence(self._mixture, combination.halo_samples))

    @property
    def n_waiting(self) -> int:
        """Samples in the longest queue; see `Ensemble` for its bound."""
        return max(len(queue) for queue in self._queues)

    def push(self, block: Float32[np.ndarray, "channels samples"]) -> Pieces:
        """See `StemPipeline`."""
        self._mixture.push(block)
        for member in self._members:
            member.push(block)
        pieces = []
        while self._n_ready >= _BLOCK_SAMPLES:
            pieces.append(self._combine(_BLOCK_SAMPLES))
        return pieces

    def flush(self) -> Pieces:
        """See `StemPipeline`."""
        for member in self._members:
            member.flush()
        for queue in self._queues:
            queue.push(_silence(queue, self._combination.halo_samples))
        lengths = {len(queue) for queue in self._queues}
        assert len(lengths) == 1, f"the members gave several lengths: {sorted(lengths)}"
        pieces = []
        while self._n_ready:
            pieces.append(self._combine(min(_BLOCK_SAMPLES, self._n_ready)))
        return pieces

    @property
    def _queues(self) -> list[SampleQueue]:
        return [self._mixture, *(member.queue for member in self._members)]

    @property
    def _n_ready(self) -> int:
        """Samples whose halo is complete in every queue."""
        return min(len(queue) for queue in self._queues) - 2 * self._combination.halo_samples

    def _combine(self, n_samples: int) -> Float32[np.ndarray, "sources channels samples"]:
        """Take the next samples of all queues; what they are halo for comes next and stays."""
        n_read = n_samples + 2 * self._combination.halo_samples
        estimates = np.concatenate([member.queue.peek(n_read) for member in self._members])
        if self._rows is not None:
            estimates = estimates[self._rows]
        stems = self._combine_groups(estimates, self._mixture.peek(n_read))
        for queue in self._queues:
            queue.pop(n_samples)
        return stems

    def _combine_groups(
        self,
        estimates: Float32[np.ndarray, "estimates channels _"],
        mixture: Float32[np.ndarray, "channels _"],
    ) -> Float32[np.ndarray, "sources channels samples"]:
        """Combine stereo pairs and doubled single channels, as a network sees them."""
        groups = [self._layout.spread(signal) for signal in (*estimates, mixture)]
        combined = []
        for group in zip(*groups, strict=True):
            stems = self._combination.combine(np.stack(group[:-1]), group[-1])
            assert stems.dtype == np.float32, f"the combiner gave {stems.dtype}, not float32"
            combined.append(stems)
        return self._layout.gather(combined)


def _silence(queue: SampleQueue, n_samples: int) -> Float32[np.ndarray, "*leading samples"]:
    return np.zeros((*queue.peek(0).shape[:-1], n_samples), np.float32)


def blend(
    separators: Sequence[Separator],
    shares: Mapping[str, float | Sequence[float]] | None = None,
) -> Ensemble:
    """Return the weighted average of separators, ours and foreign.

    `shares` gives, for each source, the share of the first of two separators (the second has the
    rest), or one weight for each. Sources without shares, or all of them, are plain averages of
    the separators that give them. A separator that the asked stems give no weight is not run.

    Source: KUIELab-MDX-Net, section "Performance on the MUSDB Benchmark"; `KUIELAB_BLEND`.

    Raises:
        UsageError: shares that do not fit the separators, or separators of several sample rates.
    """
    names = [f"separator {number}" for number in range(1, len(separators) + 1)]
    members = dict(zip(names, separators, strict=True))
    known = list(dict.fromkeys(source for member in separators for source in member.sources))
    weights = {}
    for source, share in (shares or {}).items():
        if source not in known:
            raise UsageError(
                f"there is a share for {source!r}{did_you_mean(source, known)} but the separators "
                f"give {', '.join(known)}"
            )
        each = _weights_of(source, share, len(separators))
        weights[source] = {
            # A separator that does not give the source may have a weight of 0.
            name: weight
            for name, weight in zip(names, each, strict=True)
            if weight or source in members[name].sources
        }
    return Ensemble(members, Blend(weights))


def _weights_of(source: str, share: float | Sequence[float], n_separators: int) -> list[float]:
    """Return one weight for each separator."""
    weights = np.asarray(share, np.float64)
    if weights.ndim == 0:
        if n_separators != 2:
            raise UsageError(
                f"the share for {source!r} is one number, {share}, which is for 2 separators, not "
                f"for {n_separators}; give one weight for each"
            )
        if not 0 <= weights <= 1:
            raise UsageError(f"the share for {source!r} must lie in 0..1, not {share}")
        weights = np.array([weights, 1 - weights])
    if weights.shape != (n_separators,):
        raise UsageError(
            f"the weights for {source!r} have the shape {weights.shape} but there are "
            f"{n_separators} separators; give one weight for each"
        )
    return [float(weight) for weight in weights]
