from __future__ import annotations

import itertools
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from stemlight.audio import Audio, read_audio
from stemlight.chunking import ChunkPlan
from stemlight.errors import UsageError, WeightsError
from stemlight.separation import (
    KUIELAB_BLEND,
    Bag,
    Blend,
    Ensemble,
    Mixer,
    MixerWeights,
    Separator,
    SideBySide,
    blend,
    load_mixer,
    save_mixer,
)
from stemlight.separation.layouts import layout_for
from stemlight.separation.mixers import KUIELAB_ORDER
from stemlight.separation.songs import SongOptions, separate_file

from .fakes import SOURCES, GainBackend, IdentityBackend, RecordingBackend, WindowBackend, noise

# Windows of different lengths, trims and overlaps; what is combined at once is 4096 samples.
PLANS = [
    ChunkPlan(chunk_samples=1000, trim_samples=100, overlap_samples=150),
    ChunkPlan(chunk_samples=3001, trim_samples=0, overlap_samples=1000),
    ChunkPlan(chunk_samples=517, trim_samples=200),
    ChunkPlan(chunk_samples=6000, trim_samples=500),
]
cut_lists = st.lists(st.integers(0, 20_000), max_size=6)


class EnvelopeBackend(GainBackend):
    """Answers one source by what the whole window holds, unlike any other source or side."""

    def __init__(self, source: str, factor: float, sample_rate_hz: int = 8000) -> None:
        super().__init__({source: factor}, sample_rate_hz)

    def separate_chunks(self, mixture, sources):
        level = np.abs(mixture).max(axis=(1, 2), keepdims=True)
        bent = mixture * level + np.array([[0.5], [-0.25]], np.float32) * mixture[:, ::-1]
        return super().separate_chunks(bent, sources)


def bag_members(sample_rate_hz: int = 8000) -> dict[str, Separator]:
    factors = (1.0, -0.5, 0.25, 2.0)
    return {
        f"{source}-net": Separator(
            EnvelopeBackend(source, factor, sample_rate_hz), plan, batch_size=batch_size
        )
        for source, factor, plan, batch_size in zip(
            SOURCES, factors, PLANS, (1, 2, 3, 1), strict=True
        )
    }


def deep_weights(n_layers: int = 2, kernel: int = 5, bias: bool = True) -> MixerWeights:
    """Random weights, by no means symmetric."""
    generator = np.random.default_rng(5)

    def draw(*shape: int) -> np.ndarray:
        return generator.normal(0, 0.3, shape).astype(np.float32)

    widths = [10] + [7] * (n_layers - 1) + [8]
    return MixerWeights(
        estimates=KUIELAB_ORDER,
        sources=KUIELAB_ORDER,
        linear=draw(8, 10),
        convolutions=tuple(
            (draw(wide_out, wide_in, kernel), draw(wide_out) if bias else None)
            for wide_in, wide_out in itertools.pairwise(widths)
        ),
    )


COMBINERS = {
    "bag": Bag(),
    "side by side": SideBySide(),
    "linear mixer": Mixer(replace(deep_weights(), convolutions=())),
    "deep mixer": Mixer(deep_weights()),
}


def stream_through(stream, blocks) -> dict[str, np.ndarray]:
    with stream:
        given = [stream.push(block) for block in blocks]
        given.append(stream.flush())
    return {name: np.concatenate([part[name] for part in given], axis=1) for name in stream.stems}


def partition(signal: np.ndarray, cuts: list[int]) -> list[np.ndarray]:
    return np.split(signal, sorted(cut % (signal.shape[1] + 1) for cut in cuts), axis=1)


# The same signal, whatever the way


@pytest.mark.parametrize("combiner", COMBINERS)
@given(
    st.integers(0, 14_000),
    st.integers(1, 3) | st.just(6),
    st.sampled_from([8000, 11025]),
    cut_lists,
)
@settings(max_examples=12, deadline=None)
def test_streamed_output_equals_offline_output_for_any_push_partition(
    combiner, n_samples, channels, rate_hz, cuts
):
    ensemble = Ensemble(bag_members(), COMBINERS[combiner])
    mixture = noise(channels, n_samples)
    asked = {"sample_rate_hz": rate_hz, "complement": "rest"}
    offline = ensemble(mixture, **asked)
    streamed = stream_through(ensemble.stream(channels=channels, **asked), partition(mixture, cuts))
    for name, stem in offline.items():
        assert stem.shape == mixture.shape
        np.testing.assert_array_equal(streamed[name], stem)


def test_pushing_few_samples_at_a_time_equals_offline_output():
    ensemble = Ensemble(bag_members(), Mixer(deep_weights(n_layers=3)))
    mixture = noise(2, 9000)
    streamed = stream_through(ensemble.stream(channels=2), np.array_split(mixture, 1000, axis=1))
    for name, stem in ensemble(mixture).items():
        np.testing.assert_array_equal(streamed[name], stem)


@given(st.integers(0, 14_000), st.integers(1, 8), cut_lists)
@settings(max_examples=25, deadline=None)
def test_a_blend_of_identities_gives_the_mixture_back_to_the_last_bit(n_samples, channels, cuts):
    members = [Separator(IdentityBackend(), plan) for plan in PLANS]
    mixture = noise(channels, n_samples)
    stream = blend(members, {"all": [0.1, 0.7, 1.3, 0.2]}).stream(channels=channels)
    np.testing.assert_array_equal(stream_through(stream, partition(mixture, cuts))["all"], mixture)


@given(st.floats(0, 1), st.integers(1, 2))
@settings(max_examples=20, deadline=None)
def test_a_blend_of_a_separator_with_itself_is_itself_to_the_last_bit(share, channels):
    separator = Separator(WindowBackend(), PLANS[0])
    mixture = noise(channels, 5000)
    blended = blend([separator, separator], dict.fromkeys(SOURCES, share))(mixture)
    for name, stem in separator(mixture).items():
        np.testing.assert_array_equal(blended[name], stem)


def test_a_bag_gives_what_its_members_give_alone():
    members = bag_members()
    mixture = noise(2, 10_000)
    stems = Ensemble(members, Bag())(mixture)
    for source in SOURCES:
        alone = members[f"{source}-net"](mixture)[source]
        np.testing.assert_array_equal(stems[source], alone)


@pytest.mark.parametrize("position", [0, 1, 999, 4095, 4096, 4100, 8999])
def test_members_with_different_windows_stay_aligned_to_the_sample(position):
    mixture = np.zeros((2, 9000), np.float32)
    mixture[:, position] = 1
    members = {
        f"net {number}": Separator(GainBackend({f"part {number}": 1.0}), plan)
        for number, plan in enumerate(PLANS)
    }
    for stem in Ensemble(members, Bag())(mixture).values():
        np.testing.assert_array_equal(stem, mixture)
    names = [f"part {number}" for number in range(len(PLANS))]
    summed = MixerWeights(
        estimates=tuple(names),
        sources=("sum",),
        linear=np.tile(np.eye(2, dtype=np.float32), len(PLANS) + 1),
    )
    stem = Ensemble(members, Mixer(summed))(mixture)["sum"]
    np.testing.assert_array_equal(stem, (len(PLANS) + 1) * mixture)


# What runs


def test_asking_one_source_of_a_bag_runs_its_member_alone():
    backends = {source: RecordingBackend() for source in SOURCES}
    members = {name: Separator(backend, PLANS[0]) for name, backend in backends.items()}
    bag = Ensemble(members, Bag(member_of={source: source for source in SOURCES}))
    bag(noise(2, 3000), sources=["drums"], complement="no_drums")
    assert {name for name, backend in backends.items() if backend.batches} == {"drums"}
    assert set(backends["drums"].asked) == {("drums",)}


def test_a_separator_without_weight_for_the_asked_sources_is_not_run():
    first, second = RecordingBackend(), RecordingBackend()
    members = [Separator(first, PLANS[0]), Separator(second, PLANS[1])]
    blend(members, {"vocals": 1.0, "drums": 0.0, "bass": 0.5})(noise(2, 3000), sources=["vocals"])
    assert first.batches
    assert not second.batches
    blend(members, {"vocals": 1.0, "drums": 0.0})(noise(2, 3000), sources=["vocals", "drums"])
    assert set(second.asked) == {("drums",)}


def test_a_mixer_needs_every_member_for_one_source():
    backends = {source: RecordingBackend() for source in SOURCES}
    members = {name: Separator(backend, PLANS[0]) for name, backend in backends.items()}
    weights = replace(deep_weights(), estimates=tuple(f"{s}/{s}" for s in KUIELAB_ORDER))
    Ensemble(members, Mixer(weights))(noise(2, 3000), sources=["bass"])
    assert all(backend.batches for backend in backends.values())


# Weights


def test_shares_are_those_of_the_first_and_the_second_has_the_rest():
    gains = {"bass": 1.0, "drums": 2.0, "other": 3.0, "vocals": 4.0}
    first = Separator(GainBackend(gains), PLANS[0])
    second = Separator(GainBackend(dict.fromkeys(gains, -1.0)), PLANS[1])
    mixture = noise(2, 3000)
    stems = blend([first, second], KUIELAB_BLEND)(mixture)
    for source, share in {"bass": 0.5, "drums": 0.5, "other": 0.7, "vocals": 0.9}.items():
        expected = (share * gains[source] - (1 - share)) * mixture
        np.testing.assert_allclose(stems[source], expected, atol=1e-6)


def test_weights_are_divided_by_their_sum_and_missing_ones_are_equal():
    first = Separator(GainBackend({"a": 1.0, "b": 1.0, "c": 5.0}), PLANS[0])
    second = Separator(GainBackend({"a": 0.0, "b": 0.0}), PLANS[1])
    mixture = noise(2, 1000)
    stems = Ensemble({"x": first, "y": second}, Blend({"a": {"x": 3, "y": 9}}))(mixture)
    for source, gain in {"a": 0.25, "b": 0.5, "c": 5.0}.items():
        np.testing.assert_allclose(stems[source], gain * mixture, atol=1e-6)


def test_mixer_rows_and_columns_are_found_by_name_in_any_order_of_the_members():
    weights = deep_weights()
    mixture = noise(2, 5000)
    members = bag_members()
    stems = Ensemble(members, Mixer(weights))(mixture)
    turned = dict(reversed(members.items()))
    # The mixer's own order is free too: another order of rows and columns is the same mixer.
    estimates = ("vocals", "other", "bass", "drums")
    columns = [2 * KUIELAB_ORDER.index(name) + side for name in estimates for side in (0, 1)]
    rows = columns[:4]
    (first, first_bias), (last, last_bias) = weights.convolutions
    reordered = MixerWeights(
        estimates=estimates,
        sources=estimates[:2],
        linear=weights.linear[rows][:, [*columns, 8, 9]],
        convolutions=(
            (first[:, [*columns, 8, 9]], first_bias),
            (last[rows], last_bias[rows]),
        ),
    )
    other = Ensemble(turned, Mixer(reordered))
    assert other.sources == ("vocals", "other")
    for name, stem in other(mixture).items():
        np.testing.assert_allclose(stem, stems[name], atol=2e-6)


def test_a_mixer_that_passes_through_is_the_bag():
    members = bag_members()
    weights = MixerWeights.pass_through(SOURCES, SOURCES)
    mixture = noise(2, 6000)
    bagged = Ensemble(members, Bag())(mixture)
    for name, stem in Ensemble(members, Mixer(weights))(mixture).items():
        np.testing.assert_array_equal(stem, bagged[name])


def test_passing_through_averages_the_estimates_of_a_source():
    weights = MixerWeights.pass_through(["a/vocals", "b/vocals", "a/bass"], ["bass", "vocals"])
    expected = np.zeros((4, 8), np.float32)
    expected[[0, 1], [4, 5]] = 1
    expected[[2, 2, 3, 3], [0, 2, 1, 3]] = 0.5
    np.testing.assert_array_equal(weights.linear, expected)
    with pytest.raises(WeightsError, match="no estimate is of 'drums'; the estimates are bass"):
        MixerWeights.pass_through(["bass"], ["drums"])


@pytest.mark.parametrize("rows", [[2], [3, 0], [0, 1, 2, 3]])
def test_asked_stems_of_a_mixer_are_the_same_alone_and_in_company(rows):
    weights = deep_weights(n_layers=3)
    signals = noise(10, 500).reshape(5, 2, 500)
    some = weights.mix(signals[:4], signals[4], rows)
    np.testing.assert_allclose(some, weights.mix(signals[:4], signals[4])[rows], atol=1e-6)


def test_beyond_the_signal_a_deep_mixer_sees_zeros():
    weights = deep_weights(n_layers=3)
    assert weights.halo_samples == 6
    members = {
        name: Separator(GainBackend({name: 0.1 * number}), PLANS[number])
        for number, name in enumerate(KUIELAB_ORDER)
    }
    mixture = noise(2, 5000)
    estimates = np.stack([np.float32(0.1 * number) * mixture for number in range(4)])
    padding = ((0, 0), (0, 0), (6, 6))
    expected = weights.mix(np.pad(estimates, padding), np.pad(mixture, padding[1:]))
    stems = Ensemble(members, Mixer(weights))(mixture)
    for name, stem in zip(KUIELAB_ORDER, expected, strict=True):
        np.testing.assert_allclose(stems[name], stem, atol=1e-5)


# Systems within systems


def test_a_bag_with_a_mixer_blends_with_another_separator():
    mixed = Ensemble(bag_members(), Mixer(deep_weights()))
    foreign = Separator(WindowBackend(), PLANS[3])
    both = blend([mixed, foreign], KUIELAB_BLEND)
    assert set(both.sources) == set(SOURCES)
    mixture = noise(2, 9000)
    stems, ours, theirs = both(mixture), mixed(mixture), foreign(mixture)
    for name, share in KUIELAB_BLEND.items():
        expected = share * ours[name] + (1 - share) * theirs[name]
        np.testing.assert_allclose(stems[name], expected, atol=1e-5)
    streamed = stream_through(both.stream(channels=2), np.array_split(mixture, 37, axis=1))
    for name, stem in stems.items():
        np.testing.assert_array_equal(streamed[name], stem)


def test_side_by_side_names_every_estimate_of_systems_that_give_the_same():
    members = {"a": Separator(WindowBackend(), PLANS[0]), "b": Separator(WindowBackend(), PLANS[1])}
    stems = Ensemble(members, SideBySide())(noise(2, 3000), sources=["b/bass", "a/vocals"])
    assert list(stems) == ["b/bass", "a/vocals"]
    np.testing.assert_array_equal(stems["b/bass"], members["b"](noise(2, 3000))["bass"])


def test_an_ensemble_is_used_like_one_separator(tmp_path):
    ensemble = Ensemble(bag_members(), Bag())
    assert ensemble.sources == SOURCES
    assert ensemble.sample_rate_hz == 8000
    song = tmp_path / "song.wav"
    soundfile.write(song, noise(2, 12_345).T, 11025, subtype="FLOAT")
    separate_file(ensemble, song, tmp_path / "out", options=SongOptions(bit_depth="float"))
    for name, stem in ensemble(read_audio(song)).items():
        assert isinstance(stem, Audio)
        written = read_audio(tmp_path / "out" / f"{name}.wav")
        np.testing.assert_array_equal(written.samples, stem.samples)


# Lag and memory


@pytest.mark.parametrize("combiner", COMBINERS)
def test_lag_and_queues_stay_below_the_longest_member_and_one_block(combiner):
    ensemble = Ensemble(bag_members(), COMBINERS[combiner])
    halo = 4 if combiner == "deep mixer" else 0
    member_lags = [
        plan.kept_samples + plan.trim_samples + (batch_size - 1) * plan.hop_samples
        for plan, batch_size in zip(PLANS, (1, 2, 3, 1), strict=True)
    ]
    bound = max(member_lags) + 4096 + halo
    pipeline = ensemble.maker.pipeline(ensemble.sources, layout_for(2))
    with ensemble.stream(channels=2) as stream:
        for _ in range(300):
            block = noise(2, 199)
            stream.push(block)
            pipeline.push(block)
            assert stream.lag_samples < bound
            assert pipeline.n_waiting < bound + halo
        stream.flush()
        assert stream.lag_samples == 0


def test_no_window_is_run_for_an_empty_signal():
    backend = RecordingBackend()
    members = {"one": Separator(backend, PLANS[0]), "two": Separator(backend, PLANS[1])}
    for stem in Ensemble(members, Blend())(noise(3, 0)).values():
        assert stem.shape == (3, 0)
    assert backend.batches == []


# What is refused


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Ensemble({}, Bag()), "no members; name at least one"),
        (
            lambda: Ensemble(
                {"a": Separator(IdentityBackend(44100), PLANS[0]),
                 "b": Separator(IdentityBackend(48000), PLANS[0])},
                Blend(),
            ),
            "several sample rates: a 44100 Hz, b 48000 Hz; combine members of one rate",
        ),
        (
            lambda: two(Bag()),
            r"'vocals' is given by the members a, b of the bag but one is needed; pass "
            r"member_of=\{'vocals': 'a'\}",
        ),
        (lambda: two(Bag({"vocal": "a"})), r"no member .* gives 'vocal' \(did you mean 'vocals'"),
        (
            lambda: two(Bag(dict.fromkeys(SOURCES, "c"))),
            "member_of says 'c' for 'vocals', which is given by a, b",
        ),
        (lambda: Blend({"bass": {"a": -1}}), "weight of 'a' for 'bass' is -1; .* at least 0"),
        (lambda: Blend({"bass": {"a": float("nan")}}), "weight of 'a' for 'bass' is nan"),
        (lambda: Blend({"bass": {"a": 0, "b": 0}}), "weights for 'bass' are all 0"),
        (lambda: two(Blend({"kazoo": {"a": 1}})), "weight for 'kazoo' but the members give vocals"),
        (
            lambda: two(Blend({"bass": {"c": 1}})),
            "weight of 'c' for 'bass', which is given by a, b",
        ),
        (lambda: two_blended({"base": 0.5}), r"share for 'base' \(did you mean 'bass'"),
        (lambda: two_blended({"bass": 1.5}), r"share for 'bass' must lie in 0\.\.1, not 1\.5"),
        (
            lambda: two_blended({"bass": [1, 2, 3]}),
            r"weights for 'bass' have the shape \(3,\) but there are 2 separators",
        ),
        (
            lambda: blend([Separator(WindowBackend(), PLANS[0])] * 3, {"bass": 0.5}),
            "share for 'bass' is one number, 0.5, which is for 2 separators, not for 3",
        ),
        (lambda: blend([]), "no members"),
        (
            lambda: two(Mixer(deep_weights())),
            "mixer's estimate 'bass' is given by several members: a, b; name it member/source",
        ),
        (
            lambda: two(Mixer(replace(deep_weights(), estimates=("x/bass", *KUIELAB_ORDER[1:])))),
            r"no member gives the mixer's estimate 'x/bass' \(did you mean './bass'",
        ),
    ],
)  # fmt: skip
def test_systems_that_do_not_fit_together_are_refused_with_what_would(make, message):
    with pytest.raises(UsageError, match=message):
        make()


def two(combiner) -> Ensemble:
    members = {name: Separator(WindowBackend(), PLANS[0]) for name in "ab"}
    return Ensemble(members, combiner)


def two_blended(shares) -> Ensemble:
    return blend([Separator(WindowBackend(), plan) for plan in PLANS[:2]], shares)


# Mixers on disk


@pytest.mark.parametrize("weights", [deep_weights(), deep_weights(3, bias=False)])
def test_a_mixer_comes_back_from_its_folder_as_it_was(tmp_path, weights):
    save_mixer(weights, tmp_path / "mixer")
    loaded = load_mixer(tmp_path / "mixer")
    assert (loaded.estimates, loaded.sources) == (weights.estimates, weights.sources)
    assert loaded.tensors().keys() == weights.tensors().keys()
    for name, array in weights.tensors().items():
        np.testing.assert_array_equal(loaded.tensors()[name], array)
    assert sorted(path.name for path in (tmp_path / "mixer").iterdir()) == [
        "mixer.json",
        "mixer.safetensors",
    ]


def test_damaged_or_missing_mixers_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="cannot read a mixer from"):
        load_mixer(tmp_path)
    save_mixer(deep_weights(), tmp_path)
    config = json.loads((tmp_path / "mixer.json").read_text())
    for change, message in [
        ({"format": 2}, "no mixer of format 1"),
        ({"sources": "bass"}, "needs a list of names as 'sources', not 'bass'"),
        ({"sources": ["bass"]}, r"linear layer has the shape \(8, 10\) but \(2, 10\) fits its 1 "),
        ({"estimates": ["bass"] * 4}, "needs estimates of different names"),
    ]:
        (tmp_path / "mixer.json").write_text(json.dumps(config | change))
        with pytest.raises(WeightsError, match=message):
            load_mixer(tmp_path)
    (tmp_path / "mixer.json").write_text("{")
    with pytest.raises(WeightsError, match="is damaged"):
        load_mixer(tmp_path)
    (tmp_path / "mixer.json").write_text(json.dumps(config))
    (tmp_path / "mixer.safetensors").write_bytes(b"not tensors")
    with pytest.raises(WeightsError, match="is damaged"):
        load_mixer(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"linear.weight": None}, "needs linear.weight; there is convolutions.0.bias, conv"),
        ({"linear.bias": np.zeros(8, np.float32)}, "a mixer has no linear.bias"),
        (
            {"convolutions.0.weight": np.zeros((7, 9, 5), np.float32)},
            r"convolution 0 .* shape \(7, 9, 5\) but \(any, 10, odd\)",
        ),
        (
            {"convolutions.1.weight": np.zeros((6, 7, 5), np.float32)},
            r"convolution 1 .* shape \(6, 7, 5\) but \(8, 7, odd\)",
        ),
        (
            {"convolutions.0.weight": np.zeros((7, 10, 4), np.float32)},
            r"convolution 0 .* shape \(7, 10, 4\) but \(any, 10, odd\)",
        ),
        (
            {"convolutions.0.bias": np.zeros(3, np.float32)},
            r"convolution 0 .* has 7 outputs but a bias of the shape \(3,\)",
        ),
        ({"linear.weight": np.zeros((8, 10))}, "weights are float64 but float32 is needed"),
    ],
)
def test_arrays_that_are_no_mixer_are_refused_with_their_shapes(change, message):
    tensors = deep_weights().tensors() | change
    tensors = {name: array for name, array in tensors.items() if array is not None}
    with pytest.raises(WeightsError, match=message):
        MixerWeights.from_tensors(tensors, estimates=KUIELAB_ORDER, sources=KUIELAB_ORDER)


def test_ensembles_and_mixers_need_no_torch(tmp_path):
    save_mixer(deep_weights(), tmp_path)
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path\n"
        "import stemlight.separation.foreign\n"
        "from stemlight.separation import load_mixer\n"
        f"print(load_mixer(Path({str(tmp_path)!r})).sources)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "vocals" in done.stdout
