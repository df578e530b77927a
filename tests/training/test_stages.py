"""What changes on the way of a run: tracks that join, and how stems are mixed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from stemlight.errors import ConfigError, InputError
from stemlight.training.material import TrainingTrack
from stemlight.training.mixing import MixingConfig
from stemlight.training.recipe import read_recipe
from stemlight.training.run import train
from stemlight.training.stages import StagedMixtures

from .test_run import assert_same, lightning_warns

EARLY = TrainingTrack(name="early", stems={})
LATE = TrainingTrack(name="late", stems={}, from_step=5)
LOUD, QUIET = MixingConfig(), MixingConfig(gain_db=(-30, -20))


class Told:
    """Mixtures that tell what they were made of."""

    def __init__(self, tracks, mixing):
        self.told = ([track.name for track in tracks], mixing)

    def __getitem__(self, index):
        return (*self.told, index)


def staged(*tracks, mixings):
    return StagedMixtures(tracks, mixings, items_per_step=2, make=Told)


def test_each_item_is_of_the_tracks_and_the_mixing_of_its_step():
    mixtures = staged(LATE, EARLY, mixings={0: LOUD, 3: QUIET})
    assert mixtures[5] == (["early"], LOUD, 5)
    assert mixtures[6] == (["early"], QUIET, 6)
    assert mixtures[9] == (["early"], QUIET, 9)
    assert mixtures[10] == (["late", "early"], QUIET, 10)
    assert mixtures[10**6] == (["late", "early"], QUIET, 10**6)


@pytest.mark.parametrize("mixings", [{0: LOUD}, {0: LOUD, 2: QUIET}])
def test_a_run_has_tracks_from_its_first_step_on(mixings):
    with pytest.raises(ConfigError, match="join at step 5 at the earliest"):
        staged(LATE, mixings=mixings)


def test_what_a_run_is_too_short_for_is_told_and_not_read(recipe_file):
    told = []
    recipe = read_recipe(
        recipe_file,
        [
            "data.train=[{path: train}, {path: nowhere, from_step: 4}]",
            "later_mixing=[{from_step: 3, mixing: {}}, {from_step: 9, mixing: {speed_share: 1}}]",
        ],
    )
    train(recipe, report=told.append)
    assert told[:2] == [
        "nowhere joins at step 4, which a run of 4 does not reach",
        "mixing changes at step 9, which a run of 4 does not reach",
    ]
    assert recipe.data.reached(4).training_names() == ["train"]
    assert recipe.data.reached(5).training_names() == ["train", "nowhere"]
    with pytest.raises(InputError, match="nowhere is not a folder"):
        train(replace(recipe, name="longer", n_steps=6))


def test_changes_of_mixing_are_laid_one_over_the_other(recipe_file):
    recipe = read_recipe(
        recipe_file,
        [
            "mixing={speed_share: 0.5}",
            "later_mixing=[{from_step: 2, mixing: {eq: {share: 0.5}}}, "
            "{from_step: 4, mixing: {eq: {max_gain_db: 9.0}, speed_share: 0}}]",
        ],
    )
    mixings = recipe.mixings()
    assert list(mixings) == [0, 2, 4]
    assert [mixing.speed_share for mixing in mixings.values()] == [0.5, 0.5, 0]
    assert [mixing.eq.share for mixing in mixings.values()] == [0, 0.5, 0.5]
    assert [mixing.eq.max_gain_db for mixing in mixings.values()] == [6, 6, 9]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("later_mixing=[{from_step: 0, mixing: {}}]", "from_step must be at least 1, not 0"),
        (
            "later_mixing=[{from_step: 4, mixing: {}}, {from_step: 2, mixing: {}}]",
            r"the steps of later_mixing must rise, not be \[4, 2\]",
        ),
        (
            "later_mixing=[{from_step: 2, mixing: {eq: {shaer: 1}}}]",
            r"EqConfig has no field 'shaer' \(did you mean 'share'",
        ),
        (
            "later_mixing=[{from_step: 2, mixing: {speed_share: 2}}]",
            r"mixing\.speed_share must lie in 0\.\.1, not 2",
        ),
        ("data.train=[{path: train, from_step: -1}]", "from_step of train must be at least 0"),
        (
            "data.validation=[{path: valid, from_step: 2}]",
            "data.validation is read whole; leave from_step of valid out",
        ),
        ("data.validation=[{path: valid, weight: 2}]", "leave weight of valid out"),
    ],
)
def test_stages_that_cannot_be_are_refused(recipe_file, setting, message):
    with pytest.raises(ConfigError, match=message):
        read_recipe(recipe_file, [setting])


@lightning_warns
def test_one_run_of_two_stages_is_two_runs_of_which_one_goes_on_with_the_other(recipe_file):
    """So a run may be changed on its way, and its recipe still says all of it."""
    common = ("n_steps=8", "optimizer.decay_from=1", "optimizer.final_share=1")
    both = "data.train=[{path: train}, {path: few, only: [few0], weight: 3}]"
    later = "{silenced_share: 0.5, gain_db: [-20, -10]}"

    def weights(name, *settings, resume=False):
        recipe = read_recipe(recipe_file, [f"name={name}", *common, *settings])
        return torch.load(train(recipe, resume=resume), weights_only=True)["state_dict"]

    staged_weights = weights(
        "staged",
        both.replace("weight", "from_step: 4, weight"),
        f"later_mixing=[{{from_step: 4, mixing: {later}}}]",
    )
    weights("plain", "n_steps=4")
    plain = weights("plain", resume=True)
    weights("changed", "n_steps=4")
    changed = weights("changed", both, f"mixing={later}", resume=True)
    assert_same(staged_weights, changed)
    name = max(plain, key=lambda name: plain[name].numel())
    assert not torch.equal(plain[name], changed[name])  # the second stage is another
