"""The computed receptive field is the measured one."""

from __future__ import annotations

import numpy as np
import pytest

from stemlight.errors import UsageError
from stemlight.inspection import computed_field, measured_field
from stemlight.inspection.receptive_field import FieldSpan, span_of_share

from .material import FRAMES, RATE_HZ, noise, subject

BIN_HZ = RATE_HZ / 256
# Convolutions alone, few enough that the field is smaller than the window; an activation whose
# gradient is nowhere zero.
SMALL = {
    "n_blocks": 3,
    "features": [3, 4],
    "n_tfc_layers": 1,
    "transformation": "none",
    "activation": "sigmoid",
    "modulation": "none",
}


def test_the_field_of_a_small_network_is_the_one_counted_by_hand():
    looked = subject("tfc-small", **SMALL)
    # Frame 16: decoder 15..17, middle 7..8, with its kernel 6..9, above it 12..19, encoder 11..20.
    # Bin 20: tail 19..20, decoder 18..21, middle 9..10, with its kernel 8..11, above it 16..23,
    # encoder 15..24, head 15..25.
    expected = FieldSpan(frames=(11, 20), bins=(15, 25))
    assert computed_field(looked.known_config(), FRAMES, 16, 20) == expected
    measured = measured_field(looked, source="vocals", hz=20 * BIN_HZ)
    assert (measured.frame, measured.bin) == (16, 20)
    assert measured.span() == expected


@pytest.mark.parametrize(
    ("preset", "network"),
    [
        ("tfc-tdf-v2-bass", {}),
        ("stemlight-small", {"n_sources": 4}),
        ("tdc-17", {"halved_frames": []}),
        ("tfc-small", {"kernel_bins": 1}),
        ("tfc-small", {"n_tfc_layers": 2, "halved_frames": []}),
    ],
)
@pytest.mark.parametrize("bin", [20, 33])
def test_the_computed_field_is_the_measured_one(preset, network, bin):
    looked = subject(preset, **(SMALL | network))
    measured = measured_field(looked, source=looked.sources[0], hz=bin * BIN_HZ)
    n_frames = len(measured.influence)
    computed = computed_field(looked.known_config(), n_frames, measured.frame, measured.bin)
    assert measured.span() == computed


def test_a_tdf_sees_all_bins_and_what_takes_the_level_of_a_window_all_of_it():
    with_tdf = subject("tfc-tdf-small", **(SMALL | {"transformation": "tdf"}))
    measured = measured_field(with_tdf, source="vocals", hz=20 * BIN_HZ, mixture=noise())
    assert measured.span() == FieldSpan(frames=(11, 20), bins=(0, 128))
    assert computed_field(with_tdf.known_config(), FRAMES, 16, 20) == measured.span()
    for preset, change in (("tfc-small", {"norm": "group"}), ("stemlight-bands", {})):
        with_level = subject(preset, **(SMALL | change))
        measured = measured_field(with_level, source="vocals", hz=20 * BIN_HZ)
        top = measured.influence.shape[1] - 1
        assert measured.span() == FieldSpan(frames=(0, FRAMES - 1), bins=(0, top))
        assert computed_field(with_level.known_config(), FRAMES, 16, 20) == measured.span()


def test_seconds_count_the_whole_windows_of_the_frames():
    config = subject("tfc-small").known_config()
    span = FieldSpan(frames=(11, 20), bins=(0, 0))
    assert span.seconds(config) == pytest.approx((9 * 64 + 256) / RATE_HZ)


def test_a_frequency_above_the_limit_is_taken_at_the_limit():
    assert measured_field(subject("tfc-tdf-v2-bass"), source="bass", hz=20_000).bin == 63


def test_an_unknown_source_is_refused():
    with pytest.raises(UsageError, match="no source 'piano'; it has vocals"):
        measured_field(subject("tfc-small"), source="piano", hz=100)


def test_the_span_of_a_share_is_that_of_the_middle_of_the_weight():
    weights = np.zeros(100)
    weights[40:60] = 1
    assert span_of_share(weights, 0.5) == (44, 54)
    assert span_of_share(weights, 1.0) == (0, 59)
