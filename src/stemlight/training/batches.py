"""Batches: which examples a process sees, and which of their sources it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from stemlight.errors import ConfigError
from stemlight.shapes import Bool, Float, Int
from stemlight.training.material import TrainingExample

__all__ = ["BatchShare", "TargetedExample", "TargetedExamples", "TimedLoader"]


class TargetedExample(NamedTuple):
    """A mixture and those of its sources that are asked for; collated, one axis more in front."""

    mixture: Float[Tensor, "*batch channels samples"]
    stems: Float[Tensor, "*batch targets channels samples"]
    known: Bool[Tensor, "*batch targets"]
    sources: Int[Tensor, "*batch targets"]
    """Positions in the model's list of sources."""


class TargetedExamples(Dataset[TargetedExample]):
    """Examples with all of their `asked` sources, or one of these, drawn for each.

    What is drawn for item `i` depends on the seed and `i` alone. Only sources whose truth is known
    are drawn, as long as there are any.
    """

    def __init__(
        self,
        examples: Dataset[TrainingExample],
        targets: Literal["all", "one"],
        asked: Sequence[int],
        *,
        seed: int,
    ) -> None:
        self.examples = examples
        self.targets = targets
        self.asked = torch.tensor(list(asked))
        self.seed = seed

    def __getitem__(self, index: int) -> TargetedExample:
        """Return example number `index`."""
        example = self.examples[index]
        chosen = self.asked
        if self.targets == "one":
            known = chosen[example.known[chosen]]
            pool = known if len(known) else chosen
            # Another stream than that of the mixtures, which begins with the same two numbers.
            generator = np.random.default_rng((self.seed, index, len(self.asked)))
            chosen = pool[int(generator.integers(len(pool)))].reshape(1)
        return TargetedExample(
            example.mixture, example.stems[chosen], example.known[chosen], chosen
        )


@dataclass(frozen=True, kw_only=True)
class BatchShare(Sampler[int]):
    """The item numbers of one process for an epoch.

    The batches of all steps of a run follow each other in the list of all items. Each is cut into
    parts, one after the other in time, and each part into shares, one for each process: no item is
    seen twice, and the sequence of batches is the same for any number of processes.
    """

    first_item: Callable[[], int]
    """Asked anew for each epoch: where it starts in the list of all items."""
    n_batches: int
    batch_size: int
    n_parts: int = 1
    n_processes: int = 1
    rank: int = 0

    def __post_init__(self) -> None:
        if self.batch_size % (self.n_parts * self.n_processes):
            raise ConfigError(
                f"batch_size {self.batch_size} cannot be shared by {self.n_processes} processes in "
                f"{self.n_parts} parts; make it a multiple of {self.n_parts * self.n_processes}"
            )

    @property
    def share(self) -> int:
        """Items that this process sees at once."""
        return self.batch_size // (self.n_parts * self.n_processes)

    def __len__(self) -> int:
        return self.n_batches * self.n_parts * self.share

    def __iter__(self) -> Iterator[int]:
        first = self.first_item()
        for part in range(self.n_batches * self.n_parts):
            start = first + (part * self.n_processes + self.rank) * self.share
            yield from range(start, start + self.share)


class TimedLoader(DataLoader[TargetedExample]):
    """A loader that knows how long its user has waited for it."""

    waited_seconds: float = 0.0

    def __iter__(self) -> Iterator[TargetedExample]:  # type: ignore[override]
        batches = super().__iter__()
        while True:
            start = perf_counter()
            try:
                batch = next(batches)
            except StopIteration:
                return
            finally:
                self.waited_seconds += perf_counter() - start
            yield batch
