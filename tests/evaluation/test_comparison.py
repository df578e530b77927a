"""Systems, stored scores, paired statistics, moments, and the page."""

from __future__ import annotations

import contextlib
import html.parser
import json
import math
import re
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
import pytest

from stemlight.audio import Audio
from stemlight.comparison import (
    AVERAGE,
    EstimatesFolder,
    Findings,
    HarmonicPercussive,
    IdealRatioMask,
    MixtureAsEstimate,
    ModelSystem,
    ScoredTrack,
    Scoring,
    Workers,
    all_differences,
    bootstrap_interval,
    compare_pair,
    differing_moments,
    extreme_moments,
    markdown,
    reference_stems,
    score_table,
    score_tracks,
    scored_stems,
    write_findings,
)
from stemlight.comparison import records as stored
from stemlight.comparison.plots import box_figure, png_bytes
from stemlight.comparison.statistics import CONFIDENCE, LEAST_TRACKS
from stemlight.errors import InputError, OutputError
from stemlight.evaluation import (
    BSS_METRICS,
    METRICS,
    ReferenceTrack,
    StemMetrics,
    TrackMetrics,
    sdr_db,
)

from .signals import noise

RATE_HZ = 8000  # a second is cheap
STEMS = ("vocals", "drums")
METRICS_HERE = ("sdr", "csdr", *BSS_METRICS)


@dataclass(frozen=True)
class ArrayTrack:
    name: str
    stems: dict

    def read(self, sources, sample_rate_hz):
        return sum(self.stems.values()), {name: self.stems[name] for name in sources}


def scored(name="song", seed=0, seconds=3):
    stems = {s: 0.1 * noise(seed + i, 2, seconds * RATE_HZ) for i, s in enumerate(STEMS)}
    return ScoredTrack(track=ArrayTrack(name, stems), references=STEMS, sample_rate_hz=RATE_HZ)


def leaky(leak):
    """A separator that knows the seeds: each stem with so much of the mixture."""

    def separate(mixture, rate_hz):
        return dict.fromkeys(STEMS, leak * mixture)

    return separate


def model(name, separator, fingerprint=None, sources=STEMS):
    return ModelSystem(
        name=name,
        sources=sources,
        sample_rate_hz=RATE_HZ,
        fingerprint=fingerprint or name,
        separator=separator,
    )


class Watch:
    """Counts what is done; raises at the given call of `check`."""

    def __init__(self, stop_at=None):
        self.n_checks, self.stop_at, self.done = 0, stop_at, []

    def check(self):
        self.n_checks += 1
        if self.n_checks == self.stop_at:
            raise KeyboardInterrupt

    def finished(self, name, n_done, n_all):
        self.done.append((name, n_done, n_all))


def workers(*systems, watcher=None):
    return Workers(open_system=None, opened=systems, watcher=watcher or Watch())


def run(folder, systems, tracks, *, metrics=METRICS_HERE, watcher=None, is_comparison=True):
    scoring = Scoring(
        systems=tuple(system.name for system in systems),
        stems=STEMS,
        metrics=metrics,
        folder=folder,
    )
    crew = workers(*systems, watcher=watcher)
    found = score_tracks(scoring, tracks, crew)
    if folder is not None:
        findings = Findings(
            scoring=scoring,
            tracks=tracks,
            records=found,
            data="noise",
            is_comparison=is_comparison,
        )
        write_findings(findings, crew)
    return found


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


# Systems


def mixed(seconds=2):
    """A tone and clicks: what is harmonic and what is percussive."""
    times = np.arange(seconds * RATE_HZ) / RATE_HZ
    tone = np.sin(2 * np.pi * 440 * times) * np.ones((2, 1))
    clicks = np.zeros((2, len(times)))
    clicks[:, :: RATE_HZ // 4] = 5
    references = {"other": tone.astype(np.float32), "drums": clicks.astype(np.float32)}
    return ReferenceTrack(
        name="x", references=references, mixture=sum(references.values()), sample_rate_hz=RATE_HZ
    )


def test_the_oracle_is_better_than_the_mixture_and_not_the_truth():
    track = scored().load()
    oracle, mixture = (s.separate(track) for s in (IdealRatioMask(), MixtureAsEstimate()))
    for name, reference in track.references.items():
        assert sdr_db(reference, oracle[name]) > sdr_db(reference, mixture[name]) + 2
        assert oracle[name].shape == reference.shape
        assert sdr_db(reference, oracle[name]) < 40


def test_masks_of_all_that_a_mixture_holds_add_up_to_it():
    track = scored().load()
    np.testing.assert_allclose(
        sum(IdealRatioMask().separate(track).values()), track.mixture, atol=1e-4
    )
    alone = ReferenceTrack(
        name="x",
        references={"vocals": track.references["vocals"]},
        mixture=track.mixture,
        sample_rate_hz=RATE_HZ,
    )
    found = IdealRatioMask().separate(alone)["vocals"]
    np.testing.assert_allclose(found, IdealRatioMask().separate(track)["vocals"], atol=1e-4)


def test_what_is_percussive_is_drums_and_no_tone():
    track = mixed()
    drums = HarmonicPercussive().separate(track)["drums"]
    truth = track.references["drums"]
    assert sdr_db(truth, drums) > sdr_db(truth, track.mixture) + 10


@pytest.mark.parametrize("n_samples", [1, 100, 5000])
def test_baselines_keep_the_length_of_any_song(n_samples):
    references = {name: noise(i, 2, n_samples) for i, name in enumerate(STEMS)}
    track = ReferenceTrack(name="x", references=references, mixture=sum(references.values()))
    for system in (IdealRatioMask(), HarmonicPercussive(), MixtureAsEstimate()):
        stems = system.separate(track)
        assert all(stem.shape == (2, n_samples) for stem in stems.values())
        assert all(np.isfinite(stem).all() for stem in stems.values())


def test_stems_of_a_table_are_those_of_its_systems_in_the_order_of_the_papers():
    piano = model("a", None, sources=("piano", "bass", "vocals"))
    assert scored_stems([piano, MixtureAsEstimate()]) == ("vocals", "bass", "piano")
    assert scored_stems([MixtureAsEstimate()]) == ("vocals", "drums", "bass", "other")
    karaoke = model("b", None, sources=("vocals", "accompaniment"))
    assert scored_stems([karaoke]) == ("vocals", "accompaniment")
    assert scored_stems([karaoke, piano]) == ("vocals", "bass", "piano")
    assert reference_stems(("vocals", "accompaniment")) == ("vocals", "accompaniment")
    assert reference_stems(("vocals",)) == ("vocals", "drums", "bass", "other")


# A folder of estimates


def write_estimates(folder, track, **changes):
    for name, stem in track.track.stems.items():
        samples, rate_hz = changes.get(name, (stem, RATE_HZ))
        if samples is not None:
            (folder / track.name).mkdir(parents=True, exist_ok=True)
            Audio(samples, rate_hz).save(folder / track.name / f"{name}.wav", bit_depth="float")


def test_estimates_of_others_are_scored_as_they_are(tmp_path):
    track = scored()
    write_estimates(tmp_path, track, drums=(track.track.stems["vocals"], RATE_HZ))
    system = EstimatesFolder(tmp_path, name="estimates:x")
    assert system.sources == ("drums", "vocals")
    (record,) = run(None, [system], [track])["estimates:x"]
    stems = track.track.stems
    wanted = sdr_db(stems["drums"], stems["vocals"])
    assert record.metrics.stems["drums"].values["sdr"] == pytest.approx(wanted)
    assert record.metrics.stems["vocals"].values["sdr"] > 60


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((noise(0, 2, 24_000), 16_000), r"drums\.wav has 16000 Hz but the references have 8000 Hz"),
        ((noise(0, 2, 23_999), RATE_HZ), "drums.wav has 23999 samples but the .* have 24000"),
        ((None, 0), "b has no estimate of 'drums', which other tracks have; there are vocals"),
    ],
)
def test_estimates_that_do_not_fit_are_one_line(tmp_path, change, message):
    tracks = [scored("a"), scored("b", seed=5)]
    write_estimates(tmp_path, tracks[0])
    write_estimates(tmp_path, tracks[1], drums=change)
    system = EstimatesFolder(tmp_path, name="theirs")
    with pytest.raises(InputError, match=message) as raised:
        run(None, [system], tracks)
    assert "\n" not in str(raised.value)


def test_folders_without_estimates_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*nowhere: No such file"):
        EstimatesFolder(tmp_path / "nowhere", name="x")
    (tmp_path / "song").mkdir()
    with pytest.raises(InputError, match="holds no estimates; expected a folder for each track"):
        EstimatesFolder(tmp_path, name="x")
    write_estimates(tmp_path, scored("sing"))
    with pytest.raises(InputError, match=r"no folder with estimates of 'song' \(did you mean"):
        run(None, [EstimatesFolder(tmp_path, name="x")], [scored("song")])


# Scores that are kept


def test_a_record_comes_back_as_it_was_also_where_there_is_no_number(tmp_path):
    metrics = TrackMetrics(
        name="song",
        duration_seconds=2.0,
        stems={
            "vocals": StemMetrics(
                values={"sdr": math.nan, "bss-sdr": -math.inf},
                frames={"bss-sdr": np.array([0.1, math.inf, math.nan])},
            )
        },
        data_hash="abc",
    )
    levels = {"vocals": np.array([-20.0, -200.0, -1 / 3])}
    record = stored.TrackRecord(system="a", metrics=metrics, levels_dbfs=levels)
    path = tmp_path / "x.json"
    stored.write_record(path, "key", record)
    json.loads(path.read_text(), parse_constant=pytest.fail)  # JSON has no NaN
    found = stored.read_record(path, "key")
    assert found.metrics.name == "song"
    (stem,) = found.metrics.stems.values()
    np.testing.assert_equal(stem.values, metrics.stems["vocals"].values)
    np.testing.assert_equal(stem.frames, metrics.stems["vocals"].frames)
    np.testing.assert_equal(found.levels_dbfs, levels)
    assert stored.read_record(path, "other key") is None
    path.write_text(path.read_text()[:-20])
    assert stored.read_record(path, "key") is None


@pytest.fixture
def plain_pictures(monkeypatch):
    """Drawing is slow."""
    monkeypatch.setattr("stemlight.comparison.plots.box_figure", lambda *arguments: None)
    monkeypatch.setattr("stemlight.comparison.plots.png_bytes", lambda figure: b"picture")


def test_a_resumed_run_equals_an_uninterrupted_one_and_separates_nothing_twice(
    tmp_path, plain_pictures
):
    tracks = [scored(name, seed) for name, seed in (("a", 0), ("b", 10), ("c", 20))]
    separated = []

    def counting(mixture, rate_hz):
        separated.append(mixture)
        return leaky(0.5)(mixture, rate_hz)

    systems = [model("ours", counting), MixtureAsEstimate()]
    run(tmp_path / "whole", systems, tracks)
    n_whole = len(separated)
    separated.clear()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", systems, tracks, watcher=Watch(stop_at=3))
    assert len(separated) == 2
    run(tmp_path / "cut", systems, tracks)
    assert len(separated) == n_whole
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")
    separated.clear()
    run(tmp_path / "cut", systems, tracks)
    assert not separated
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


@pytest.mark.parametrize("change", ["data", "model", "metrics"])
def test_what_changes_a_score_is_measured_anew(tmp_path, change, plain_pictures):
    def measured(folder, changed):
        leak = 0.9 if changed and change == "model" else 0.5
        metrics = ("sdr", "csdr", "leakage") if changed and change == "metrics" else ("sdr", "csdr")
        track = scored(seed=7 if changed and change == "data" else 0)
        systems = [model("ours", leaky(leak), fingerprint=f"{leak}"), MixtureAsEstimate()]
        run(folder, systems, [track], metrics=metrics)
        return contents(folder)

    measured(tmp_path / "one", changed=False)
    assert measured(tmp_path / "one", changed=True) == measured(tmp_path / "two", changed=True)


def test_killed_at_any_write_there_is_no_half_file_and_the_next_run_ends_as_if_never_killed(
    tmp_path, monkeypatch, plain_pictures
):
    systems = [model("ours", leaky(0.5)), MixtureAsEstimate()]
    tracks = [scored("a", seconds=1)]
    write = stored.PendingFile.place
    n_writes = 0

    def dying(self):
        nonlocal n_writes
        n_writes += 1
        if n_writes == dies_at:
            raise KeyboardInterrupt
        write(self)

    monkeypatch.setattr(stored.PendingFile, "place", dying)
    dies_at = None
    run(tmp_path / "whole", systems, tracks)
    whole = contents(tmp_path / "whole")
    assert n_writes >= len(whole) > 10
    for dies_at in range(1, n_writes + 1):  # each goes on with what the one before it left
        n_writes = 0
        with contextlib.suppress(KeyboardInterrupt):
            run(tmp_path / "cut", systems, tracks)
            assert n_writes < dies_at
            break
        there = contents(tmp_path / "cut")
        assert there.items() <= whole.items(), f"killed at write {dies_at}"
    assert dies_at > 10
    assert contents(tmp_path / "cut") == whole


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "results").write_text("in the way")
    with pytest.raises(OutputError, match=r"cannot write .*results"):
        run(tmp_path, [MixtureAsEstimate()], [scored()], metrics=("sdr",))


def test_files_of_tracks_are_told_apart_whatever_they_are_called():
    names = ["a/b", "a_b", "a:b", "..", "", "x" * 300, "x" * 299, "Ä b (live) & c'", "a\nb"]
    written = [stored.file_name(name) for name in names]
    assert len({name.casefold() for name in written}) == len(names)
    for name in written:
        assert "/" not in name
        assert name.strip(".")
        assert len(name.encode()) < 200
    assert stored.file_name("Al James - Schoolboy Facination") == "Al James - Schoolboy Facination"


# Paired statistics


def record(system, name, **values):
    stems = {stem: StemMetrics(values={"sdr": value}) for stem, value in values.items()}
    metrics = TrackMetrics(name=name, duration_seconds=1, stems=stems, data_hash=name)
    return stored.TrackRecord(system=system, metrics=metrics, levels_dbfs={})


def of_system(system, vocals, drums=None):
    values = [{"vocals": v} for v in vocals]
    for value, drum in zip(values, drums or (), strict=False):
        value["drums"] = drum
    return [record(system, f"{i}", **value) for i, value in enumerate(values)]


SCORES = [float(v) for v in np.random.default_rng(0).normal(5, 3, 14)]


def compared(first, second, metric="sdr"):
    pairs = compare_pair(METRICS[metric], first, second, STEMS)
    return {each.stem: each for each in pairs}


def test_identical_systems_differ_by_nothing():
    found = compared(of_system("a", SCORES), of_system("b", SCORES))["vocals"]
    assert (found.mean, found.median) == (0, 0)
    assert found.mean_interval == found.median_interval == (0, 0)
    assert not found.is_real
    assert found.verdict == "no difference shown"


def test_chance_is_not_taken_for_real():
    jitter = np.random.default_rng(1).normal(0, 1, 14)
    found = compared(of_system("a", SCORES), of_system("b", SCORES + jitter))["vocals"]
    low, high = found.mean_interval
    assert low < 0 < high
    assert not found.is_real


def test_a_system_that_is_better_everywhere_is_really_better():
    better = [value + 0.1 + 0.02 * i for i, value in enumerate(SCORES)]
    found = compared(of_system("a", better), of_system("b", SCORES))["vocals"]
    assert found.mean == pytest.approx(0.23)
    assert found.mean_interval[0] > 0.1
    assert found.median_interval[0] > 0
    assert (found.n_tracks, found.n_better, found.is_real) == (14, 14, True)
    assert found.verdict == "a is better"
    turned = compared(of_system("b", SCORES), of_system("a", better))["vocals"]
    assert turned.mean == pytest.approx(-found.mean)
    assert turned.verdict == "a is better"


def test_differences_are_paired_tracks_that_differ_much_do_not_hide_them():
    spread = [40 * value for value in SCORES]
    found = compared(of_system("a", spread), of_system("b", [v - 0.5 for v in spread]))["vocals"]
    assert found.mean_interval == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize(("metric", "sign"), [("sdr", 1), ("leakage", -1)])
def test_ahead_is_in_the_direction_of_the_metric(metric, sign):
    def of(name, value):
        stems = {"vocals": StemMetrics(values={metric: value})}
        metrics = TrackMetrics(name="x", duration_seconds=1, stems=stems, data_hash="x")
        return [stored.TrackRecord(system=name, metrics=metrics, levels_dbfs={})]

    assert compared(of("a", 3.0), of("b", 1.0), metric)["vocals"].mean == sign * 2


def test_too_loud_is_as_bad_as_too_quiet():
    metric = "loudness-difference"
    found = [
        [
            stored.TrackRecord(
                system=name,
                metrics=TrackMetrics(
                    name="x",
                    duration_seconds=1,
                    stems={"vocals": StemMetrics(values={metric: value})},
                    data_hash="x",
                ),
                levels_dbfs={},
            )
        ]
        for name, value in (("a", -3.0), ("b", 1.0))
    ]
    assert compared(*found, metric)["vocals"].mean == -2


def test_tracks_and_stems_without_a_score_of_both_are_left_out():
    first = of_system("a", [1.0, math.nan, 3.0], drums=[1.0, 1.0, 1.0])
    second = of_system("b", [0.0, 0.0, 0.0])
    found = compared(first, second)
    assert list(found) == ["vocals"]
    assert found["vocals"].differences == {"0": 1.0, "2": 3.0}
    both = compared(first, of_system("b", [0.0] * 3, drums=[0.0] * 3))
    assert list(both) == ["vocals", "drums", AVERAGE]
    assert both[AVERAGE].differences == {"0": 1.0, "1": 1.0, "2": 2.0}


def test_few_tracks_get_no_verdict():
    n_few = LEAST_TRACKS - 1
    found = compared(of_system("a", [2.0] * n_few), of_system("b", [1.0] * n_few))["vocals"]
    assert not found.is_real
    assert found.verdict == f"too few tracks ({n_few}, not {LEAST_TRACKS})"
    found = compared(of_system("a", [math.nan]), of_system("b", [1.0]))["vocals"]
    assert (found.verdict, found.is_real) == ("nothing to compare", False)


def test_every_pair_is_compared_once_and_says_by_what():
    systems = {name: of_system(name, SCORES) for name in "abc"}
    found = all_differences(METRICS["sdr"], systems, STEMS)
    assert [(each.first, each.second) for each in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    label = found[0].label
    assert label.startswith("sdr v1 [dB], differences paired by track, mean and median over tracks")
    assert f"10000 resamples, seed 0), data {found[0].data_hash[:12]}" in label


def test_the_interval_of_a_mean_is_that_of_normal_theory_where_that_holds():
    values = np.random.default_rng(3).normal(1, 2, 400)
    low, high = bootstrap_interval(values, np.mean)
    half = 1.96 * values.std() / math.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half, abs=0.02)
    assert high == pytest.approx(values.mean() + half, abs=0.02)
    assert bootstrap_interval(values, np.mean) == (low, high)
    assert bootstrap_interval(values, np.mean, seed=1) != (low, high)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    random = np.random.default_rng(4)
    n_held = 0
    for _ in range(60):
        low, high = bootstrap_interval(random.normal(0, 1, 14), np.mean)
        n_held += low <= 0 <= high
    assert n_held / 60 == pytest.approx(CONFIDENCE - 0.03, abs=0.08)  # slightly too narrow


# Tables


def test_the_papers_table_has_no_average_where_a_stem_is_missing():
    records = {
        "whole": of_system("whole", [1.0, 2.0], drums=[3.0, 4.0]),
        "vocals only": of_system("vocals only", [5.0, 6.0]),
    }
    table = score_table(METRICS["sdr"], records, STEMS)
    assert table.head == ("system", "vocals", "drums", "AVG")
    assert table.rows == (("whole", "1.50", "3.50", "2.50"), ("vocals only", "5.50", "-", "-"))
    assert re.fullmatch(r"sdr v1 \[dB\], mean over 2 tracks, data [0-9a-f]{12}", table.label)


def test_names_cannot_leave_their_cell():
    records = {"a|b <b>*x*": of_system("a|b <b>*x*", [1.0])}
    text = markdown(score_table(METRICS["sdr"], records, ("vocals",)))
    row = text.splitlines()[-1]
    assert row == r"| a\|b \<b\>\*x\* | 1.00 | 1.00 |"


# Moments


def frames_record(system, name, values, levels):
    metrics = TrackMetrics(
        name=name,
        duration_seconds=float(len(values)),
        stems={
            "vocals": StemMetrics(
                values={"csdr": 0.0}, frames={"csdr": np.array(values, np.float64)}
            )
        },
        data_hash=name,
    )
    levels = {"vocals": np.array(levels, np.float64)}
    return stored.TrackRecord(system=system, metrics=metrics, levels_dbfs=levels)


def test_the_best_and_worst_seconds_are_found_where_the_source_is_heard():
    quiet = [-20, -20, -90, -25]
    records = [
        frames_record("a", "one", [3, 5, -40, 1], quiet),
        frames_record("a", "two", [math.nan, 7, 90, 2], quiet),
    ]
    worst, best = extreme_moments(METRICS["csdr"], records, "vocals")
    assert (worst.kind, worst.track, worst.frame, worst.scores) == ("worst", "one", 3, {"a": 1})
    assert (best.kind, best.track, best.frame, best.scores) == ("best", "two", 1, {"a": 7})


def test_systems_are_heard_where_each_is_furthest_ahead():
    loud = [-20] * 4
    records = {
        "a": [frames_record("a", "one", [3, 5, 0, 1], loud)],
        "b": [frames_record("b", "one", [0, 6, 9, 1], loud)],
    }
    first, second = differing_moments(METRICS["csdr"], records, ("vocals", "drums"))
    assert (first.frame, first.scores) == (0, {"a": 3, "b": 0})
    assert (second.frame, second.scores) == (2, {"b": 9, "a": 0})
    records["b"] = [frames_record("b", "one", [3, 5, 0, 1], loud)]
    assert differing_moments(METRICS["csdr"], records, ("vocals",)) == []


def test_an_excerpt_stays_within_its_track():
    records = [frames_record("a", "one", [9, *[5] * 58, -9], [-20] * 60)]
    worst, best = extreme_moments(METRICS["csdr"], records, "vocals")
    assert best.window(60) == (0, 5)
    assert worst.window(60) == (55, 60)
    assert best.window(2) == (0, 2)


# The folder


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A whole run with a track whose name is an attack."""
    folder = tmp_path_factory.mktemp("run")
    names = ("<script>alert(1)</script>", '" onload="x', "plain | name")
    tracks = [scored(name, 10 * i) for i, name in enumerate(names)]
    systems = [model("ours & <b>theirs</b>", leaky(0.4)), MixtureAsEstimate()]
    run(folder, systems, tracks)
    return folder


class Page(html.parser.HTMLParser):
    """All tags and attributes of a page, and whether it is well formed."""

    VOID = ("meta", "img", "source", "br", "path")

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.open, self.text = [], [], [], ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *each) for each in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *each) for each in attrs]

    def handle_data(self, data):
        self.text += data


def test_the_page_escapes_names_runs_nothing_and_refers_to_nothing_outside(written):
    text = (written / "report.html").read_text()
    page = Page(text)
    assert not {"script", "iframe", "link", "object", "embed", "a", "b", "form"} & (
        set(page.tags) - {"b"}
    )
    assert "<b>theirs" not in text
    assert "<script>alert(1)</script>" in page.text
    for tag, name, value in page.attributes:
        assert not name.startswith("on"), (tag, name)
        if name in ("src", "srcset", "href"):
            assert value.startswith("data:"), (tag, name)
    assert "url(" not in text
    assert "@import" not in text
    assert "http" not in text.replace("http-equiv", "")


def test_the_page_plays_mixture_reference_and_estimate_of_each_moment(written):
    page = Page((written / "report.html").read_text())
    n_moments = page.tags.count("section")
    assert n_moments == 2  # of two stems: the mixture is never ahead
    # The mixture as estimate is heard as the mixture.
    assert page.tags.count("audio") == 3 * n_moments
    for stem in STEMS:
        assert page.text.count(f"{stem} by ours & <b>theirs</b>") == 1
    assert ("html", "lang", "en") in page.attributes
    assert all(
        ("img", "alt", f"Box plot of sdr of {stem} for each system") in page.attributes
        for stem in STEMS
    )
    for region in (e for e in page.attributes if e[:2] == ("div", "tabindex")):
        assert region[2] == "0"  # wide tables are scrolled with the keyboard


def test_every_number_of_the_page_stands_with_its_metric_version_and_data(written):
    page = Page((written / "report.html").read_text())
    n_labels = sum(name == "aria-label" and "data " in value for _, name, value in page.attributes)
    assert n_labels == page.tags.count("table")
    digest = re.search(r"; data ([0-9a-f]{64})", page.text)[1]
    labels = [value for _, name, value in page.attributes if name == "aria-label"]
    assert all(f"data {digest[:12]}" in label for label in labels if "data " in label)


def test_the_folder_has_all_tables_and_pictures(written):
    found = set(contents(written))
    assert {
        "scores.csv",
        "scores.parquet",
        "scores.md",
        "differences.csv",
        "report.html",
        "boxes-vocals.png",
        "boxes-drums.png",
    } <= found
    head, *rows = (written / "scores.csv").read_text().splitlines()
    assert head == ("system,track,stem,metric,version,unit,aggregation,value,data_hash,stemlight")
    assert len(rows) == 2 * 3 * 2 * len(METRICS_HERE)
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(written / "scores.parquet")
    assert table.column_names == head.split(",")
    assert table.num_rows == len(rows)
    assert str(table.schema.field("value").type) == "double"
    lines = (written / "scores.md").read_text().splitlines()
    assert lines[0].startswith("sdr v1 \\[dB\\], mean over 3 tracks, data ")
    assert lines[2] == "| system | vocals | drums | AVG |"


def test_the_json_of_each_track_is_museval_s(written):
    jsonschema = pytest.importorskip("jsonschema")
    pytest.importorskip("musdb")  # comes with museval, whose import asks for more than its schema
    schema = json.loads(files("museval").joinpath("musdb.schema.json").read_text())
    found = sorted((written / "museval").rglob("test/*.json"))
    assert len(found) == 6
    for path in found:
        content = json.loads(path.read_text())
        jsonschema.validate(content, schema)
        assert [target["name"] for target in content["targets"]] == list(STEMS)
        assert len(content["targets"][0]["frames"]) == 3


def test_pictures_are_the_same_bytes_each_time_and_there_for_light_and_dark(written):
    records = {"a": of_system("a", SCORES), "b": of_system("b", SCORES[::-1])}
    once, again = (png_bytes(box_figure(METRICS["sdr"], records, "vocals")) for _ in range(2))
    assert once == again
    page = Page((written / "report.html").read_text())
    dark = [v for tag, name, v in page.attributes if (tag, name) == ("source", "srcset")]
    light = [v for tag, name, v in page.attributes if (tag, name) == ("img", "src")]
    assert len(dark) == len(light) == len(STEMS)
    assert all(one != two for one, two in zip(dark, light, strict=True))


def test_the_page_of_one_system_has_its_best_and_worst_moments(tmp_path):
    tracks = [scored("a"), scored("b", 10)]
    run(tmp_path, [model("ours", leaky(0.4))], tracks, is_comparison=False, metrics=("sdr", "csdr"))
    page = Page((tmp_path / "report.html").read_text())
    assert "Best and worst moments" in page.text
    assert page.text.count("worst: ours") == page.text.count("best: ours") == 4
    assert "Which is better" not in page.text
    assert not (tmp_path / "differences.csv").exists()
    assert not (tmp_path / "museval").exists()


def test_without_scores_of_seconds_the_page_says_why_nothing_plays(tmp_path):
    run(tmp_path, [model("ours", leaky(0.4))], [scored()], is_comparison=False, metrics=("sdr",))
    page = Page((tmp_path / "report.html").read_text())
    assert "csdr or bss-sdr is one" in page.text
    assert "audio" not in page.tags


def test_without_its_extra_writing_is_refused_before_any_work(monkeypatch):
    import sys

    from stemlight.comparison import check_extra
    from stemlight.errors import MissingExtraError

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"needs pyarrow.*stemlight\[evaluate\]"):
        check_extra()
