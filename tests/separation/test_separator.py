from __future__ import annotations

import numpy as np
import pytest

import stemlight.separation
from stemlight.audio import Audio
from stemlight.chunking import ChunkPlan
from stemlight.errors import InputError, UsageError
from stemlight.separation import Separator
from stemlight.separation.checks import check_mixture, check_sample_rate

from .fakes import SOURCES, IdentityBackend, RecordingBackend, WindowBackend, noise

PLAN = ChunkPlan(chunk_samples=100, trim_samples=10, overlap_samples=20)


@pytest.fixture
def separator() -> Separator:
    return Separator(WindowBackend(), PLAN)


def test_arrays_in_give_arrays_out_one_for_each_source_in_the_models_order(separator):
    stems = separator(noise(2, 300))
    assert tuple(stems) == separator.sources == SOURCES
    assert separator.sample_rate_hz == 8000
    for stem in stems.values():
        assert stem.shape == (2, 300)
        assert stem.dtype == np.float32


def test_audio_in_gives_audio_out_at_its_own_rate(separator):
    mixture = noise(2, 700)
    stems = separator(Audio(mixture, 11025), sources=["bass"], complement="rest")
    arrays = separator(mixture, sample_rate_hz=11025, sources=["bass"], complement="rest")
    assert list(stems) == ["bass", "rest"]
    for name, stem in stems.items():
        assert isinstance(stem, Audio)
        assert stem.sample_rate_hz == 11025
        np.testing.assert_array_equal(stem.samples, arrays[name])


def test_stems_come_in_the_asked_order(separator):
    asked = ["other", "vocals", "drums"]
    stems, all_stems = separator(noise(2, 300), sources=asked), separator(noise(2, 300))
    assert list(stems) == asked
    for name in asked:
        np.testing.assert_array_equal(stems[name], all_stems[name])


def test_every_stem_owns_its_memory(separator):
    for stem in separator(noise(2, 300)).values():
        assert stem.base is None


@pytest.mark.parametrize("n_samples", [0, 1])
def test_the_shortest_signals_give_stems_of_their_length(separator, n_samples):
    for stem in separator(noise(2, n_samples), sample_rate_hz=44100).values():
        assert stem.shape == (2, n_samples)


def test_a_damaged_mixture_is_refused_before_anything_is_computed():
    backend = RecordingBackend(8000)
    mixture = noise(1, 600_000)
    mixture[0, 500_000] = np.nan
    with pytest.raises(InputError, match=r"not finite \(nan\) at 62\.500000 s in channel 1"):
        Separator(backend, PLAN)(mixture)
    assert backend.batches == []


@pytest.mark.parametrize(
    ("mixture", "message"),
    [
        (np.zeros(5, np.float32), r"shape \(5,\) .* mono pass mixture\[numpy.newaxis, :\]"),
        (np.zeros((1, 2, 5), np.float32), r"shape \(1, 2, 5\) but \(channels, samples\) is needed"),
        (np.zeros((33, 2), np.float32), r"shape \(33, 2\), read as 33 channels, .* mixture\.T"),
        (np.zeros((0, 5), np.float32), r"read as 0 channels, but 1\.\.32 are allowed"),
        (np.zeros((2, 5), np.int32), "dtype int32 but floating point of full scale"),
        (np.zeros((2, 5), complex), "dtype complex128 but floating point"),
    ],
)
def test_mixtures_of_a_wrong_shape_or_dtype_are_refused_with_what_to_do(
    separator, mixture, message
):
    with pytest.raises(UsageError, match=message):
        separator(mixture)


def test_what_is_no_array_is_refused_with_what_to_do():
    with pytest.raises(UsageError, match=r"is a list but a NumPy array .* numpy\.asarray"):
        check_mixture([[0.0, 1.0]])


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (["vocal"], r"no source 'vocal' \(did you mean 'vocals'"),
        (["kazoo"], "no source 'kazoo'; it has vocals, drums, bass, other"),
        (["drums", "bass", "drums"], "source 'drums' is asked twice"),
        ([], "sources is empty; name at least one of vocals, drums, bass, other"),
        ("vocals", r"the text 'vocals' but a list is needed; pass \['vocals'\]"),
    ],
)
def test_sources_that_cannot_be_given_are_refused_with_what_can(separator, sources, message):
    with pytest.raises(UsageError, match=message):
        separator(noise(2, 10), sources=sources)
    with pytest.raises(UsageError, match=message):
        separator.stream(channels=2, sources=sources)


@pytest.mark.parametrize(
    ("complement", "message"),
    [
        ("drums", "complement 'drums' is the name of a source .* example 'no_drums'"),
        ("", "complement is empty; name it"),
    ],
)
def test_a_complement_needs_a_name_of_its_own(separator, complement, message):
    with pytest.raises(UsageError, match=message):
        separator.stream(channels=2, sources=["vocals"], complement=complement)


@pytest.mark.parametrize("rate_hz", [0, -8000, 44100.5, True, "44100"])
def test_sample_rates_that_do_not_exist_are_refused(rate_hz):
    with pytest.raises(
        UsageError, match="sample_rate_hz must be a whole number of at least 1, not"
    ):
        check_sample_rate(rate_hz)


def test_a_sample_rate_that_contradicts_the_audio_is_refused(separator):
    with pytest.raises(UsageError, match="is 8000 but the Audio has 44100; leave"):
        separator(Audio(noise(2, 10), 44100), sample_rate_hz=8000)


def test_a_stream_of_no_channels_is_refused(separator):
    with pytest.raises(UsageError, match=r"channels must lie in 1\.\.32, not 0"):
        separator.stream(channels=0)


def test_a_separator_needs_a_stereo_backend_and_whole_batches():
    backend = IdentityBackend()
    with pytest.raises(UsageError, match="batch_size must be at least 1, not 0"):
        Separator(backend, PLAN, batch_size=0)
    backend.n_channels = 1
    with pytest.raises(UsageError, match="the backend has 1 channels but 2 are needed"):
        Separator(backend, PLAN)


def test_public_names_are_those_listed():
    assert stemlight.separation.__all__ == [
        "KUIELAB_BLEND",
        "Backend",
        "Bag",
        "Blend",
        "ChannelLayout",
        "Combiner",
        "Ensemble",
        "Mixer",
        "MixerWeights",
        "SeparationStream",
        "Separator",
        "SideBySide",
        "blend",
        "layout_for",
        "load_mixer",
        "save_mixer",
    ]
    assert all(hasattr(stemlight.separation, name) for name in stemlight.separation.__all__)
