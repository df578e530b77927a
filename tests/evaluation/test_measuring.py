"""All metrics of a track, their summaries, the hash of the data, and museval's JSON."""

from __future__ import annotations

import json
import math
from importlib.resources import files

import numpy as np
import pytest

from stemlight.errors import UsageError
from stemlight.evaluation import (
    BSS_METRICS,
    METRICS,
    ReferenceTrack,
    bss_eval,
    data_hash,
    measure_estimates,
    metric_named,
    museval_json,
    sdr_db,
    summarise,
    track_hash,
)

from .signals import STEMS, leaky, masked, noise, noises

RATE_HZ = 8000  # a second is cheap


def track(name="song", n_samples=3 * RATE_HZ, seed=0, with_mixture=True):
    references = {n: 0.1 * s for n, s in noises(n_samples=n_samples, seed=seed).items()}
    return ReferenceTrack(
        name=name,
        references=references,
        mixture=sum(references.values()) if with_mixture else None,
        sample_rate_hz=RATE_HZ,
    )


def measured(of=None, **options):
    of = of or track()
    return measure_estimates(of, leaky(of.references), **options)


def test_every_metric_of_the_registry_has_a_value_for_every_stem():
    of = track()
    of.references["b"][:, :RATE_HZ] = 0  # so that there is a silent second
    found = measured(of)
    assert found.duration_seconds == 3
    assert list(found.stems) == ["a", "b"]
    assert set(found.stems["b"].values) == set(METRICS)
    assert all(math.isfinite(value) for value in found.stems["b"].values.values())
    assert set(found.stems["b"].frames) == {"csdr", *BSS_METRICS}


@pytest.mark.parametrize("name", METRICS)
def test_the_truth_is_better_than_a_bad_estimate_in_the_direction_of_the_metric(name):
    of = track()
    of.references["a"][:, :RATE_HZ] = 0
    mixture = of.mixture
    truth = measure_estimates(of, {"a": of.references["a"]}, metrics=[name]).stems["a"].values[name]
    bad = measure_estimates(of, {"a": mixture}, metrics=[name]).stems["a"].values[name]
    better = {
        "highest": truth > bad,
        "lowest": truth < bad,
        "zero": abs(truth) < abs(bad),
    }
    assert better[METRICS[name].best]


def test_only_asked_metrics_and_stems_are_measured():
    of = track()
    found = measure_estimates(of, {"b": of.mixture}, metrics=["sdr", "bss-sir"])
    assert list(found.stems) == ["b"]
    assert list(found.stems["b"].values) == ["sdr", "bss-sir"]
    assert found.stems["b"].values["sdr"] == sdr_db(of.references["b"], of.mixture)


def test_without_a_mixture_its_metrics_are_left_out_or_refused_if_asked():
    of = track(with_mixture=False)
    assert set(METRICS) - set(measured(of).stems["a"].values) == {"relative-leakage"}
    with pytest.raises(UsageError, match="relative-leakage needs the mixture, which 'song' does"):
        measured(of, metrics=["relative-leakage"])


def test_a_silent_reference_has_leakage_and_nothing_else():
    of = track()
    of.references["b"][:] = 0
    values = measured(of).stems["b"].values
    present = {name for name, value in values.items() if not math.isnan(value)}
    assert present == {"leakage", "relative-leakage"}


def test_frames_of_bss_eval_are_those_of_references_of_16_bits_at_any_rate():
    of = track()
    rounded = {n: (np.rint(s * 32768) / 32768).astype(np.float32) for n, s in of.references.items()}
    wanted = bss_eval(rounded, leaky(of.references), frame_samples=RATE_HZ)
    found = measured(of).stems["a"].frames["bss-sar"]
    np.testing.assert_allclose(found, wanted["a"].sar_db)
    assert len(found) == 3


def test_rounding_tells_of_real_music_what_a_decoder_hides(excerpt):
    """Above a codec's band limit, filters have huge gains: masks seem to let all others through."""
    mixture, references = excerpt(11, seconds=4, as_decoded=True)
    mixture, references = mixture[:1], {name: s[:1] for name, s in references.items()}
    estimates = masked(mixture, references)
    of = ReferenceTrack(name="excerpt", references=references)
    rounded = measure_estimates(of, estimates, metrics=["bss-sir"]).stems
    decoded = bss_eval(references, estimates)
    for name in STEMS:
        assert rounded[name].values["bss-sir"] > np.median(decoded[name].sir_db) + 5


def test_threads_change_nothing():
    one, two = measured(n_threads=1), measured(n_threads=2)
    for name, stem in one.stems.items():
        for metric, value in stem.values.items():
            np.testing.assert_equal(two.stems[name].values[metric], value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ["sdrr"]}, r"no metric 'sdrr' \(did you mean 'sdr'\?\); choose from sdr, si-"),
        (
            {"of": ReferenceTrack(name="x", references=noises(), mixture=noise(0, 1, 5))},
            "mixture of 'x' has",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        measured(**options)


# Summaries


@pytest.fixture(scope="module")
def two():
    return [
        measured(track(name, seed=seed), metrics=["sdr", "bss-sir", "leakage"])
        for name, seed in (("one", 0), ("two", 50))
    ]


def test_a_label_names_metric_version_unit_aggregation_and_data(two):
    found = summarise(two, "bss-sir")
    assert found.label == (
        "bss-sir v1 [dB], median over 1 s frames, median over 2 tracks, "
        f"data {found.data_hash[:12]}"
    )
    assert summarise(two, "sdr").label.startswith("sdr v1 [dB], mean over 2 tracks, data ")
    assert metric_named("sdr").title == "sdr v1 [dB], mean over tracks"


def test_bss_eval_is_the_median_over_frames_then_over_tracks_unless_asked_otherwise(two):
    frames = [each.stems["a"].frames["bss-sir"] for each in two]
    found = summarise(two, "bss-sir")
    assert found.stems["a"] == np.median([np.median(each) for each in frames])
    found = summarise(two, "bss-sir", over_frames="mean", over_tracks="mean")
    assert found.stems["a"] == pytest.approx(np.mean([np.mean(each) for each in frames]))
    assert "mean over 1 s frames, mean over 2 tracks" in found.label


def test_the_average_is_that_of_stems_and_leaves_out_what_is_not_there(two):
    found = summarise(two, "sdr")
    assert found.average == pytest.approx(np.mean(list(found.stems.values())))
    assert all(math.isnan(value) for value in summarise(two, "leakage").stems.values())
    assert math.isnan(summarise(two, "leakage").average)


def test_differences_of_loudness_do_not_cancel():
    of = track()
    tracks = [
        measure_estimates(
            ReferenceTrack(name=name, references=of.references, sample_rate_hz=RATE_HZ),
            {"a": np.float32(gain) * of.references["a"]},
            metrics=["loudness-difference"],
        )
        for name, gain in (("one", 2), ("two", 0.5))
    ]
    assert summarise(tracks, "loudness-difference").stems["a"] == pytest.approx(6.02, abs=0.01)


def test_what_cannot_be_summarised_is_refused(two):
    with pytest.raises(UsageError, match="sdr has one value for a track"):
        summarise(two, "sdr", over_frames="mean")
    with pytest.raises(UsageError, match="csdr was not measured of 'one'; measured were sdr, bss-"):
        summarise(two, "csdr")
    with pytest.raises(UsageError, match="there are no tracks"):
        summarise([], "sdr")


# The hash of the data


def test_the_hash_does_not_depend_on_order_and_does_on_every_sample():
    of = track()
    wanted = track_hash(of.references, of.mixture, RATE_HZ)
    backwards = dict(reversed(of.references.items()))
    assert track_hash(backwards, of.mixture, RATE_HZ) == wanted
    assert track_hash(of.references, of.mixture, 44_100) != wanted
    assert track_hash(of.references, None, RATE_HZ) != wanted
    renamed = {"b": of.references["a"], "a": of.references["b"]}
    assert track_hash(renamed, of.mixture, RATE_HZ) != wanted
    of.references["b"][0, -1] += np.float32(1e-6)
    assert track_hash(of.references, of.mixture, RATE_HZ) != wanted


def test_the_hash_of_all_data_is_that_of_the_tracks_by_name(two):
    hashes = {each.name: each.data_hash for each in two}
    wanted = data_hash(hashes)
    assert data_hash(dict(reversed(hashes.items()))) == wanted
    assert data_hash({"one": hashes["two"], "two": hashes["one"]}) != wanted
    assert summarise(list(reversed(two)), "sdr").data_hash == wanted


def test_the_hash_is_the_same_on_every_machine():
    ramp = {"a": np.arange(6, dtype=np.float32).reshape(2, 3)}
    assert track_hash(ramp, None, 44_100) == (
        "c42a94fc2016a58408cf1d14a1626b5b2e5fe115a9bb760e516c57afd11ee234"
    )


# museval's JSON


def test_the_json_is_that_of_museval():
    jsonschema = pytest.importorskip("jsonschema")
    pytest.importorskip("musdb")  # comes with museval, whose import asks for more than its schema
    of = track(n_samples=3 * RATE_HZ + 100)
    of.references["b"][:, RATE_HZ : 2 * RATE_HZ] = 0
    written = museval_json(measured(of))
    schema = json.loads(files("museval").joinpath("musdb.schema.json").read_text())
    jsonschema.validate(written, schema)
    again = json.loads(json.dumps(written))
    assert [target["name"] for target in again["targets"]] == ["a", "b"]
    frames = again["targets"][0]["frames"]
    assert [frame["time"] for frame in frames] == [0, 1, 2]
    assert all(frame["duration"] == 1 for frame in frames)
    assert [math.isnan(frame["metrics"]["SDR"]) for frame in frames] == [False, True, False]
    assert frames[0]["metrics"].keys() == {"SDR", "SIR", "ISR", "SAR"}


def test_infinite_ratios_are_not_numbers_in_json_as_in_museval():
    references = {n: np.rint(1000 * s) / 32768 for n, s in noises(n_samples=RATE_HZ).items()}
    of = ReferenceTrack(name="song", references=references, sample_rate_hz=RATE_HZ)
    perfect = measure_estimates(of, of.references, metrics=BSS_METRICS)
    assert perfect.stems["a"].values["bss-sdr"] == math.inf
    frame = museval_json(perfect)["targets"][0]["frames"][0]["metrics"]
    assert math.isnan(frame["SDR"])


def test_json_needs_all_four_ratios():
    with pytest.raises(UsageError, match="bss-isr, bss-sar of 'song' were not measured"):
        museval_json(measured(metrics=["bss-sdr", "bss-sir"]))
