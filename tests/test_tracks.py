"""Tracks with ground truth are found, whatever they are stored in."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemlight.errors import InputError, MissingExtraError, UsageError
from stemlight.tracks import VALIDATION_TRACKS, find_split, find_tracks

from .conftest import REPOSITORY

SOURCES = ("vocals", "drums", "bass", "other")


def write(path, n_samples, *, seed=0, channels=2, rate=44_100):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.1 * np.random.default_rng(seed).standard_normal((n_samples, channels))
    soundfile.write(path, samples, rate, subtype="FLOAT" if path.suffix == ".wav" else None)
    return samples.T.astype(np.float32)


def test_a_folder_of_stems_is_a_track_whose_mixture_is_the_sum(tmp_path):
    vocals = write(tmp_path / "song" / "vocals.wav", 1000)
    drums = write(tmp_path / "song" / "drums.wav", 800, seed=1)
    (track,) = find_tracks(tmp_path, sources=SOURCES)
    mixture, stems = track.read(SOURCES, 44_100)
    assert track.name == "song"
    assert set(track.stems) == {"vocals", "drums"}
    expected = vocals.copy()
    expected[:, :800] += drums
    np.testing.assert_allclose(mixture, expected, atol=1e-7)
    assert list(stems) == list(SOURCES)
    assert not stems["bass"].any()
    assert all(stem.shape == (2, 1000) for stem in stems.values())


def test_a_mixture_of_its_own_is_preferred_to_the_sum(tmp_path):
    write(tmp_path / "song" / "vocals.wav", 500)
    own = write(tmp_path / "song" / "mixture.wav", 600, seed=2)
    (track,) = find_tracks(tmp_path, sources=SOURCES)
    np.testing.assert_allclose(track.read(SOURCES, 44_100)[0], own, atol=1e-7)


def test_renamed_material_serves_under_the_new_name_only(tmp_path):
    guitar = write(tmp_path / "song" / "guitar.wav", 500)
    write(tmp_path / "song" / "song.wav", 500, seed=1)
    (track,) = find_tracks(tmp_path, sources=SOURCES, renamed={"guitar": "other"})
    assert set(track.stems) == {"other"}
    np.testing.assert_allclose(track.read(SOURCES, 44_100)[1]["other"], guitar, atol=1e-7)


def test_two_files_of_one_stem_are_refused_and_the_others_found(tmp_path):
    for name in ("good/vocals.wav", "twice/vocals.wav", "twice/Vocals.flac"):
        write(tmp_path / name, 100)
    message = r"twice has both Vocals.flac and vocals.wav for vocals; remove one, or say in stems.y"
    with pytest.raises(InputError, match=message):
        find_tracks(tmp_path, sources=["vocals"])
    refused = []
    (track,) = find_tracks(tmp_path, sources=["vocals"], on_refused=refused.append)
    assert track.name == "good"
    assert len(refused) == 1


def test_tracks_are_found_at_any_depth_and_sorted(tmp_path):
    for name in ("b/two", "a/one", "three"):
        write(tmp_path / name / "bass.flac", 100)
    assert [t.name for t in find_tracks(tmp_path, sources=SOURCES)] == ["one", "three", "two"]


@pytest.mark.parametrize("text", ["", "every_file: vocals"])
def test_hidden_files_and_folders_are_no_tracks(tmp_path, text):
    """Some are what an ended process left, others what macOS puts beside each file."""
    write(tmp_path / "a" / "vocals.wav", 100)
    write(tmp_path / ".a.77" / "vocals.wav", 100)
    write(tmp_path / "b" / ".cache" / "vocals.wav", 100)
    (tmp_path / "._a.stem.mp4").write_bytes(b"")
    if text:
        write_yaml(tmp_path, text)
    tracks = find_tracks(tmp_path, sources=SOURCES)
    files = [file.path for track in tracks for file in track.stems["vocals"].files]
    assert files == [tmp_path / "a" / "vocals.wav"]


@pytest.mark.parametrize("text", ["", "every_file: vocals"])
def test_links_to_folders_are_followed_and_what_they_lead_to_is_there_once(tmp_path, text):
    """A collection is often made of links to where the sound is stored."""
    disk, chosen = tmp_path / "disk", tmp_path / "chosen"
    write(disk / "a" / "vocals.wav", 100)
    write(disk / "b" / "more" / "vocals.wav", 100)
    write(chosen / "own" / "vocals.wav", 100)
    (chosen / "a").symlink_to(disk / "a")
    (chosen / "b").symlink_to("../disk/b")
    (chosen / "also own").symlink_to("own")
    (chosen / "gone").symlink_to(tmp_path / "nowhere")
    for place, target in [("b", chosen), ("b/more", tmp_path), ("a", "."), ("a", "../b")]:
        (disk / place / f"to {Path(target).name}").symlink_to(target)
    if text:
        write_yaml(chosen, text)
    tracks = find_tracks(chosen, sources=SOURCES)
    files = [file.path for track in tracks for file in track.stems["vocals"].files]
    names = ["a", "b/more", "own"]
    assert files == [chosen / name / "vocals.wav" for name in names]


def test_links_are_followed_from_wherever_one_looks(tmp_path, monkeypatch):
    write(tmp_path / "disk" / "a" / "vocals.wav", 100)
    (tmp_path / "chosen").mkdir()
    (tmp_path / "chosen" / "all").symlink_to("../disk")
    monkeypatch.chdir(tmp_path / "disk" / "a")
    assert [track.name for track in find_tracks(Path("../../chosen"), sources=SOURCES)] == ["a"]


def test_other_rates_and_mono_become_what_is_asked_for(tmp_path):
    write(tmp_path / "song" / "vocals.wav", 4000, channels=1, rate=22_050)
    (track,) = find_tracks(tmp_path, sources=SOURCES)
    mixture, _ = track.read(SOURCES, 44_100)
    assert mixture.shape == (2, 8000)
    np.testing.assert_array_equal(mixture[0], mixture[1])


def test_the_streams_of_a_stem_mp4_have_their_names(shared):
    """The bass is the lowest stem, the drums come in bursts, and all add up to the mixture."""
    tracks = find_tracks(shared("data/musdb18-7s/train"), sources=SOURCES)
    assert len(tracks) == 94
    mixture, stems = tracks[0].read(SOURCES, 44_100)
    assert all(stem.shape == mixture.shape for stem in stems.values())
    assert min(SOURCES, key=lambda name: centre_hz(stems[name])) == "bass"
    assert max(SOURCES, key=lambda name: burstiness(stems[name])) == "drums"
    residual = mixture - sum(stems.values())
    # The mixture is an encoding of its own: it equals the sum to 23 to 33 dB.
    ratio_db = 10 * np.log10(np.square(mixture).sum() / np.square(residual).sum())
    assert ratio_db > 20


def centre_hz(stem):
    """Return the mean frequency of a stem, weighted by power."""
    power = np.abs(np.fft.rfft(stem.mean(axis=0))) ** 2
    return (power * np.fft.rfftfreq(stem.shape[1], 1 / 44_100)).sum() / power.sum()


def burstiness(stem):
    """Return the greatest over the mean energy of short stretches."""
    n_whole = stem.shape[1] // 512 * 512
    energy = np.square(stem.mean(axis=0)[:n_whole]).reshape(-1, 512).mean(axis=1)
    return energy.max() / energy.mean()


@pytest.mark.parametrize("empty", [True, False])
def test_a_root_without_tracks_is_refused_with_what_is_expected(tmp_path, empty):
    root = tmp_path if empty else tmp_path / "missing"
    message = r"holds no tracks; expected \*\.stem\.mp4" if empty else "is not a folder"
    with pytest.raises(InputError, match=message):
        find_tracks(root, sources=SOURCES)


def write_yaml(folder, text):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stems.yaml").write_text(text, encoding="utf-8")


def test_files_of_one_source_are_summed_whatever_their_lengths(tmp_path):
    song = tmp_path / "song"
    kick, snare = write(song / "kick.wav", 500), write(song / "snare.wav", 300, seed=1)
    left, right = write(song / "oh_l.wav", 400, seed=2), write(song / "oh_r.wav", 400, seed=3)
    write(song / "._oh_l.wav", 400, seed=4)
    write_yaml(song, 'drums: [kick.wav, snare.wav, "oh_*.wav", "oh_l*"]\nvocals: kick.wav')
    (track,) = find_tracks(tmp_path, sources=SOURCES)
    assert [file.path.name for file in track.stems["drums"].files] == [
        "kick.wav",
        "snare.wav",
        "oh_l.wav",
        "oh_r.wav",
    ]
    expected = kick.copy()
    for part in (snare, left, right):
        expected[:, : part.shape[1]] += part
    mixture, stems = track.read(SOURCES, 44_100)
    np.testing.assert_allclose(stems["drums"], expected, atol=1e-6)
    np.testing.assert_allclose(mixture, expected + kick, atol=1e-6)


def test_a_stems_yaml_at_the_root_speaks_of_folders_without_their_own(tmp_path):
    write_yaml(tmp_path, "vocals: voice.wav\nbass: [parts/low.wav]\nmixture: master.wav")
    write(tmp_path / "a" / "voice.wav", 100)
    write(tmp_path / "a" / "master.wav", 100)
    write(tmp_path / "b" / "parts" / "low.wav", 100)
    write(tmp_path / "b" / "parts" / "vocals.wav", 100)  # a part of b, no track of its own
    write(tmp_path / "c" / "lead.wav", 100)
    write_yaml(tmp_path / "c", "vocals: lead.wav")
    write(tmp_path / "d" / "drums.wav", 100)  # nothing of the root's: called like its source
    tracks = {track.name: track for track in find_tracks(tmp_path, sources=SOURCES)}
    assert {name: list(track.stems) for name, track in tracks.items()} == {
        "a": ["vocals"],
        "b": ["bass"],
        "c": ["vocals"],
        "d": ["drums"],
    }
    assert tracks["a"].sources == ("vocals", "accompaniment")
    assert tracks["b"].sources == ("bass",)


def test_a_name_with_brackets_is_a_file_before_it_is_a_glob(tmp_path):
    write(tmp_path / "song" / "take [2].wav", 100)
    write_yaml(tmp_path / "song", 'vocals: "take [2].wav"')
    (track,) = find_tracks(tmp_path, sources=SOURCES)
    assert track.stems["vocals"].files[0].path.name == "take [2].wav"


def test_the_accompaniment_is_what_the_known_stems_leave_of_the_mixture(tmp_path):
    vocals = write(tmp_path / "song" / "vocals.wav", 500)
    mixture = write(tmp_path / "song" / "mixture.wav", 600, seed=1)
    (track,) = find_tracks(tmp_path, sources=SOURCES)
    assert track.sources == ("vocals", "accompaniment")
    rest = mixture.copy()
    rest[:, :500] -= vocals
    for asked in (["vocals", "accompaniment"], ["accompaniment"]):
        _, stems = track.read(asked, 44_100)
        np.testing.assert_allclose(stems["accompaniment"], rest, atol=1e-6)


def test_the_accompaniment_beside_one_asked_stem_holds_the_others(tmp_path):
    write(tmp_path / "song" / "vocals.wav", 500)
    drums = write(tmp_path / "song" / "drums.wav", 500, seed=1)
    (track,) = find_tracks(tmp_path, sources=SOURCES)
    _, stems = track.read(["vocals", "accompaniment"], 44_100)
    np.testing.assert_allclose(stems["accompaniment"], drums, atol=1e-6)


ALLOWED = r"allowed is `source: file` or `source: \[file, glob, ...\]`"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"holds nothing; {ALLOWED}"),
        ("- a.wav", f"holds a list; {ALLOWED}"),
        ("a.wav", f"holds a str; {ALLOWED}"),
        ("drums: [", f"is no readable YAML .*; {ALLOWED}"),
        ("drums:", f"'drums' has ''; {ALLOWED}"),
        ("drums: []", f"names no file; {ALLOWED}"),
        ("drums: [a.wav]\nmixture: []", r"'mixture' has \[\], but a mixture must have a sound"),
        ("drums: [[a.wav]]", rf"'drums' has \[\['a.wav'\]\]; {ALLOWED}"),
        ("every_file: [drums]", r"\['drums'\] is no name of a source"),
        ("every_file: drums\nvocals: a.wav", "sources that are silent alone, .*; 'vocals' is not"),
        ("every_file: drums\ndrums: []", "sources that are silent alone, .*; 'drums' is not"),
        ("every_file: mixture", r"say what they lack, such as vocals: \[\]"),
        ("drums: {kick: a.wav}", f"'drums' has .*; {ALLOWED}"),
        ("a/b: a.wav", f"'a/b' is no name of a source; {ALLOWED}"),
        ('"a\\nb": a.wav', "is no name of a source"),
        ('drums: "\\ud800.wav"', "no file matches"),
        ("? [a]\n: a.wav", "is no readable YAML"),
        ("drums: " + "[" * 5000, "is no readable YAML"),
        ("drums: ../a.wav", "'../a.wav' of 'drums' must be a file in or below the track's folder"),
        ("drums: /a.wav", "'/a.wav' of 'drums' must be a file in or below"),
        ("drums: .", r"'\.' of 'drums' must be a file in or below"),
        ("drums: x**.wav", r"has \*\* beside other letters"),
        ("drums: [a.wav, b.wav]", "no file matches 'b.wav' of 'drums'; correct the name"),
        (f"drums: {'x' * 300}", "cannot look for .* File name too long"),
    ],
)
def test_an_ill_formed_stems_yaml_is_refused_in_one_line(tmp_path, text, message):
    write(tmp_path / "song" / "a.wav", 100)
    write_yaml(tmp_path / "song", text)
    with pytest.raises(InputError, match=message) as raised:
        find_tracks(tmp_path, sources=SOURCES)
    assert "\n" not in str(raised.value)


def test_a_stems_yaml_that_is_no_text_is_refused(tmp_path):
    write_yaml(tmp_path / "song", "")
    (tmp_path / "song" / "stems.yaml").write_bytes(b"drums: \xff\xfe")
    with pytest.raises(InputError, match="is no readable YAML"):
        find_tracks(tmp_path, sources=SOURCES)


def test_refused_folders_are_told_and_the_others_found(tmp_path):
    write(tmp_path / "good" / "bass.wav", 100)
    write_yaml(tmp_path / "bad", "- bass.wav")
    refused = []
    tracks = find_tracks(tmp_path, sources=SOURCES, on_refused=refused.append)
    assert [track.name for track in tracks] == ["good"]
    assert "holds a list" in str(refused.pop())
    assert not refused


def test_a_stems_yaml_without_its_package_names_the_extra(tmp_path, monkeypatch):
    write(tmp_path / "song" / "a.wav", 100)
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(InputError, match="holds no tracks"):
        find_tracks(tmp_path, sources=SOURCES)
    write_yaml(tmp_path / "song", "drums: a.wav")
    with pytest.raises(MissingExtraError, match=r"needs yaml, .* pip install 'stemlight\[train\]'"):
        find_tracks(tmp_path, sources=SOURCES)


def test_a_source_without_files_is_known_to_be_silent_as_long_as_its_track(tmp_path):
    write(tmp_path / "song" / "voice.wav", 500)
    mixture = write(tmp_path / "song" / "all.wav", 600, seed=1)
    write_yaml(tmp_path / "song", "vocals: voice.wav\nbass: []\nmixture: all.wav")
    (track,) = find_tracks(tmp_path, sources=SOURCES)
    assert track.sources == ("vocals", "bass", "accompaniment")
    assert [name for name, stem in track.stems.items() if stem.is_known_silent] == ["bass"]
    read, stems = track.read(["bass", "accompaniment"], 44_100)
    np.testing.assert_allclose(read, mixture, atol=1e-7)
    np.testing.assert_array_equal(stems["bass"], np.zeros((2, 600)))
    np.testing.assert_allclose(stems["accompaniment"], mixture, atol=1e-7)


def test_what_the_root_says_to_be_silent_is_so_where_there_is_a_track(tmp_path):
    write_yaml(tmp_path, "vocals: []\nmixture: '*.mp3'\ndrums: drums.wav")
    write(tmp_path / "a" / "drums.wav", 100)
    write(tmp_path / "empty" / "notes.wav", 100)
    (track,) = find_tracks(tmp_path, sources=SOURCES)
    assert (track.name, [*track.stems]) == ("a", ["vocals", "drums"])


def test_each_file_of_a_folder_of_one_kind_is_a_track(tmp_path):
    loops = tmp_path / "loops"
    for name in ("b.wav", "b.flac", "kit/a.wav", "kit/.hidden.wav"):
        write(loops / name, 100)
    (loops / "kit" / "readme.txt").write_text("no sound")
    write_yaml(loops, "every_file: drums")
    write(tmp_path / "song" / "bass.wav", 100)
    tracks = find_tracks(tmp_path, sources=SOURCES)
    assert [(t.name, [*t.stems], t.mixture) for t in tracks] == [
        ("b", ["drums"], None),
        ("b", ["drums"], None),
        ("kit/a", ["drums"], None),
        ("song", ["bass"], None),
    ]
    assert [t.name for t in find_tracks(loops, sources=SOURCES)] == ["b", "b", "kit/a"]


def test_mixtures_may_be_known_by_what_they_lack(tmp_path):
    samples = write(tmp_path / "one.wav", 100)
    write_yaml(tmp_path, "every_file: mixture\nvocals: []")
    (track,) = find_tracks(tmp_path, sources=SOURCES)
    assert track.sources == ("vocals", "accompaniment")
    mixture, stems = track.read(track.sources, 44_100)
    np.testing.assert_allclose(mixture, samples, atol=1e-7)
    assert not stems["vocals"].any()
    np.testing.assert_array_equal(stems["accompaniment"], mixture)


def test_a_folder_of_one_kind_without_files_is_refused(tmp_path):
    write_yaml(tmp_path / "loops", "every_file: drums")
    with pytest.raises(
        InputError, match=r"every_file is 'drums', but there is no file with one of"
    ):
        find_tracks(tmp_path, sources=SOURCES)


def write_musdb(root, *, names=(VALIDATION_TRACKS[3], "Some - Song")):
    for half, tracks in (("train", names), ("test", ["A - Test"])):
        for name in tracks:
            for stem in (*SOURCES, "mixture"):
                write(root / half / name / f"{stem}.wav", 100)


def test_splits_are_those_of_the_package_musdb(tmp_path):
    write_musdb(tmp_path)
    expected = {"train": ["Some - Song"], "valid": [VALIDATION_TRACKS[3]], "test": ["A - Test"]}
    for split, names in expected.items():
        tracks = find_split(tmp_path, split, sources=SOURCES)
        assert [track.name for track in tracks] == names
        assert all(track.mixture is not None and len(track.stems) == 4 for track in tracks)


def test_stem_mp4s_split_like_folders(shared):
    root = shared("data/musdb18-7s")
    n_tracks = {s: len(find_split(root, s, sources=SOURCES)) for s in ("train", "valid")}
    assert n_tracks == {"train": 80, "valid": 14}


def test_the_list_for_commands_and_recipes_is_that_of_the_code():
    text = (REPOSITORY / "recipes" / "musdb18-validation.txt").read_text(encoding="utf-8")
    assert tuple(text.splitlines()) == VALIDATION_TRACKS


def test_splits_that_are_not_there_are_refused_with_what_to_do(tmp_path):
    write_musdb(tmp_path, names=["Some - Song"])
    with pytest.raises(
        UsageError, match=r"no split 'vaild' \(did you mean 'valid'\?\); allowed are"
    ):
        find_split(tmp_path, "vaild", sources=SOURCES)
    with pytest.raises(InputError, match="holds none of the 14 validation tracks of MUSDB18"):
        find_split(tmp_path, "valid", sources=SOURCES)
    with pytest.raises(InputError, match="has no folder 'test', where the split 'test' is; give"):
        find_split(tmp_path / "train", "test", sources=SOURCES)
    write_musdb(tmp_path / "held out", names=VALIDATION_TRACKS[:1])
    with pytest.raises(InputError, match="holds nothing but some of the 14 validation tracks"):
        find_split(tmp_path / "held out", "train", sources=SOURCES)
