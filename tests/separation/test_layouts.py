from __future__ import annotations

import numpy as np
import pytest

from stemlight.errors import UsageError
from stemlight.separation.layouts import layout_for

from .fakes import noise


@pytest.mark.parametrize("n_channels", range(1, 33))
def test_every_channel_is_in_exactly_one_group_of_one_or_two(n_channels):
    layout = layout_for(n_channels)
    assert sorted(channel for group in layout.groups for channel in group) == list(
        range(n_channels)
    )
    assert {len(group) for group in layout.groups} <= {1, 2}
    assert layout.n_channels == n_channels


@pytest.mark.parametrize("n_channels", range(1, 12))
def test_gathering_what_was_spread_gives_every_channel_back_in_its_place(n_channels):
    mixture = noise(n_channels, 5)
    layout = layout_for(n_channels)
    stereo = layout.spread(mixture)
    assert all(pair.shape == (2, 5) for pair in stereo)
    stems = layout.gather([np.stack([pair, 2 * pair, -pair]) for pair in stereo])
    np.testing.assert_array_equal(stems, np.stack([mixture, 2 * mixture, -mixture]))
    assert stems.dtype == np.float32


@pytest.mark.parametrize(
    ("n_channels", "groups"),
    [
        (1, [(0,)]),
        (2, [(0, 1)]),
        (3, [(0, 1), (2,)]),
        (4, [(0, 1), (2, 3)]),
        (5, [(0, 1), (3, 4), (2,)]),
        (6, [(0, 1), (4, 5), (2,), (3,)]),
        (7, [(0, 1), (2, 3), (4, 5), (6,)]),
        (8, [(0, 1), (4, 5), (6, 7), (2,), (3,)]),
        (9, [(0, 1), (2, 3), (4, 5), (6, 7), (8,)]),
    ],
)
def test_surround_layouts_pair_left_with_right_and_leave_centre_and_bass_alone(n_channels, groups):
    assert layout_for(n_channels).groups == tuple(groups)


def test_a_single_channel_is_the_average_of_the_two_that_come_back():
    stems = layout_for(1).gather([np.array([[[1, 0.5], [0, -0.5]]], np.float32)])
    np.testing.assert_array_equal(stems, [[[0.5, 0]]])


@pytest.mark.parametrize("n_channels", [0, -1, 33])
def test_impossible_channel_counts_are_refused_with_what_is_allowed(n_channels):
    with pytest.raises(UsageError, match=rf"channels must lie in 1\.\.32, not {n_channels}"):
        layout_for(n_channels)
