"""What changes on the way of a run: tracks that join, and how stems are mixed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence

from torch.utils.data import Dataset

from stemlight.errors import ConfigError
from stemlight.training.material import TrainingExample, TrainingTrack
from stemlight.training.mixing_config import MixingConfig

__all__ = ["StagedMixtures"]

_Mixtures = Dataset[TrainingExample]


class StagedMixtures(Dataset[TrainingExample]):
    """An endless list of mixtures, whose tracks and mixing change at some steps of a run.

    Item `i` is that of the mixtures of its step: a run that is resumed, or that was begun with the
    first stage alone and goes on with the second, sees what an unbroken one sees.

    Args:
        tracks: All tracks; each is drawn from its own `from_step` on.
        mixings: How is mixed, by the step that each way begins with; the first begins with 0.
        items_per_step: Mixtures that one step of the run sees.
        make: Makes the mixtures of some of the tracks.

    Raises:
        ConfigError: no track is there at the first step, or `make` raises it.
    """

    def __init__(
        self,
        tracks: Sequence[TrainingTrack],
        mixings: Mapping[int, MixingConfig],
        *,
        items_per_step: int,
        make: Callable[[Sequence[TrainingTrack], MixingConfig], _Mixtures],
    ) -> None:
        self.items_per_step = items_per_step
        self.first_steps = sorted({*mixings, *(track.from_step for track in tracks)})
        first_step = min((track.from_step for track in tracks), default=0)
        if first_step:
            raise ConfigError(
                f"the tracks of data.train join at step {first_step} at the earliest; leave "
                "from_step out of a folder that is there from the first step"
            )
        self.stages = [
            make(
                [track for track in tracks if track.from_step <= first],
                mixings[max(step for step in mixings if step <= first)],
            )
            for first in self.first_steps
        ]

    def __getitem__(self, index: int) -> TrainingExample:
        """Return mixture number `index`."""
        step = index // self.items_per_step
        return self.stages[bisect_right(self.first_steps, step) - 1][index]
