"""Batches: each process has its share of the same sequence, and asks what the recipe says."""

from __future__ import annotations

import time

import pytest
import torch
from torch.utils.data import Dataset

from stemlight.errors import ConfigError
from stemlight.training.batches import BatchShare, TargetedExamples, TimedLoader
from stemlight.training.material import TrainingExample


class Examples(Dataset):
    """Stems whose samples tell the item and the source."""

    def __init__(self, known=(True, True, True), delay_seconds=0.0):
        self.known = torch.tensor(known)
        self.delay_seconds = delay_seconds

    def __getitem__(self, index):
        time.sleep(self.delay_seconds)
        stems = torch.tensor([10.0 * index + source for source in range(3)])
        return TrainingExample(
            stems.sum().expand(2, 4), stems[:, None, None].expand(3, 2, 4), self.known
        )


def shares(n_processes, **fields):
    fields = {"first_item": lambda: 24, "n_batches": 3, "batch_size": 24} | fields
    return [BatchShare(n_processes=n_processes, rank=r, **fields) for r in range(n_processes)]


@pytest.mark.parametrize("n_parts", [1, 2, 3])
@pytest.mark.parametrize("n_processes", [1, 2, 4])
def test_the_sequence_of_batches_is_the_same_for_any_number_of_processes(n_parts, n_processes):
    ranks = shares(n_processes, n_parts=n_parts)
    items = [list(rank) for rank in ranks]
    assert all(len(item) == len(rank) for item, rank in zip(items, ranks, strict=True))
    assert sorted(i for item in items for i in item) == list(range(24, 96))  # none twice
    per_batch = 24 // n_processes
    for batch in range(3):
        seen = [i for item in items for i in item[batch * per_batch : (batch + 1) * per_batch]]
        assert sorted(seen) == list(range(24 + 24 * batch, 48 + 24 * batch))


def test_an_epoch_starts_where_the_run_is_then():
    step = 0
    (share,) = shares(1, first_item=lambda: step, n_batches=1)
    assert next(iter(share)) == 0
    step = 7
    assert next(iter(share)) == 7


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(
        ConfigError, match="batch_size 12 cannot be shared by 4 processes in 2 part"
    ):
        shares(4, n_parts=2, batch_size=12)


def test_all_asked_sources_come_with_their_stems():
    example = TargetedExamples(Examples(), "all", [2, 0], seed=0)[3]
    assert example.sources.tolist() == [2, 0]
    assert example.stems[:, 0, 0].tolist() == [32.0, 30.0]
    assert example.mixture[0, 0] == 93


def test_one_target_is_drawn_for_each_item_by_the_seed_and_the_item_alone():
    examples = TargetedExamples(Examples(), "one", range(3), seed=0)
    drawn = [examples[index] for index in range(300)]
    assert all(e.stems[0, 0, 0] == 10 * i + e.sources[0] for i, e in enumerate(drawn))
    counts = torch.bincount(torch.cat([example.sources for example in drawn]))
    assert counts.min() > 70
    again = TargetedExamples(Examples(), "one", range(3), seed=0)
    assert [again[i].sources for i in (250, 3)] == [drawn[i].sources for i in (250, 3)]
    other = TargetedExamples(Examples(), "one", range(3), seed=1)
    assert [other[i].sources for i in range(20)] != [example.sources for example in drawn[:20]]


def test_only_what_is_known_is_drawn():
    known = TargetedExamples(Examples((False, True, True)), "one", range(3), seed=0)
    assert {int(known[index].sources) for index in range(60)} == {1, 2}
    nothing = TargetedExamples(Examples((False, False, False)), "one", range(3), seed=0)[0]
    assert not nothing.known.any()


@pytest.mark.parametrize(("delay_seconds", "least"), [(0.02, 0.07), (0.0, 0.0)])
def test_a_loader_knows_how_long_it_was_waited_for(delay_seconds, least):
    examples = TargetedExamples(Examples(delay_seconds=delay_seconds), "all", range(3), seed=0)
    loader = TimedLoader(examples, batch_size=2, sampler=range(4))
    start = time.perf_counter()
    batches = [batch.mixture.shape for batch in loader]
    taken = time.perf_counter() - start
    assert batches == [(2, 2, 4)] * 2
    assert least <= loader.waited_seconds <= taken
