"""`stemlight gallery`: what the page plays, what it says, and that names are only text."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest

from stemlight.audio import probe, read_audio
from stemlight.gallery import Excerpt

from .material import RATE_HZ, STEMS, noise, tree, write_song

NASTY = '<img src=x onerror=alert(1)>"&'


class Page(HTMLParser):
    """The tags of a page, the sources of its players, and its words."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.played, self.words = set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag == "audio":
            self.played.append(dict(attributes)["src"])

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture
def gallery(run, model, tmp_path):
    def call(*arguments):
        return run("gallery", *arguments, "-o", tmp_path / "out", "--model", model)

    return call


def page_of(tmp_path):
    return Page((tmp_path / "out" / "index.html").read_text(encoding="utf-8"))


def test_each_track_has_players_of_original_and_stems_and_their_files_are_there(
    gallery, song, tmp_path
):
    other = write_song(tmp_path / "other.flac", noise(seed=1))
    ran = gallery(song, other)
    assert (ran.code, ran.out.strip()) == (0, str(tmp_path / "out" / "index.html"))
    page = page_of(tmp_path)
    expected = [f"{n:03d}/{name}.mp3" for n in (1, 2) for name in ("original", *STEMS)]
    assert page.played == expected
    assert tree(tmp_path / "out") == sorted([*expected, "index.html"])


def test_names_of_songs_are_text_and_no_paths(gallery, tmp_path):
    gallery(write_song(tmp_path / f"{NASTY}.wav"), "--title", "<script>1</script>")
    page = page_of(tmp_path)
    assert NASTY in page.words
    assert "<script>1</script>" in page.words
    assert not page.tags & {"img", "script"}
    assert all(path.startswith("001/") for path in page.played)


def test_the_page_takes_nothing_from_elsewhere(gallery, song, tmp_path):
    gallery(song)
    text = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "//" not in text.replace("<!doctype", "")
    assert not page_of(tmp_path).tags & {"script", "link", "iframe", "img"}


def test_an_excerpt_is_the_asked_part_of_the_song_and_no_more(tmp_path):
    samples = noise(5 * RATE_HZ)
    song = write_song(tmp_path / "song.wav", samples)
    part = Excerpt(start_seconds=1.5, seconds=2.0).read(song)
    assert part.samples.shape == (2, 2 * RATE_HZ)
    first = int(1.5 * RATE_HZ)
    np.testing.assert_allclose(part.samples.T, samples[first : first + 2 * RATE_HZ], atol=1e-6)
    rest = Excerpt(start_seconds=1.5, seconds=None).read(song)
    assert rest.n_samples == 5 * RATE_HZ - first


def test_what_mp3_cannot_hold_is_wav(gallery, tmp_path):
    gallery(write_song(tmp_path / "high.wav", noise(9600), rate_hz=96000))
    played = page_of(tmp_path).played
    assert played[0] == "001/original.wav"
    assert probe(tmp_path / "out" / played[0]).sample_rate_hz == 96000


def test_only_the_asked_stems_are_shown_as_long_as_their_original(gallery, tmp_path):
    gallery(write_song(tmp_path / "high.wav", noise(9600), rate_hz=96000), "--stems", "bass")
    played = page_of(tmp_path).played
    assert played == ["001/original.wav", "001/bass.wav"]
    original = read_audio(tmp_path / "out" / played[0])
    assert read_audio(tmp_path / "out" / played[1]).samples.shape == original.samples.shape


def test_a_song_that_fails_is_named_and_the_others_are_shown(gallery, song, tmp_path):
    (tmp_path / "bad.mp3").write_text("no sound")
    ran = gallery(tmp_path / "bad.mp3", song)
    assert ran.code == 1
    assert "bad.mp3" in ran.errors[0]
    assert len(page_of(tmp_path).played) == 1 + len(STEMS)


def test_an_excerpt_behind_the_end_says_how_long_the_song_is(gallery, song):
    ran = gallery(song, "--start", "7")
    assert ran.code == 1
    assert "has 1 s, so no excerpt of it starts at 7 s" in ran.errors[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--start", "-1"], "0 s or later, not at -1 s"),
        (["--seconds", "-2"], "longer than 0 s, not -2 s"),
    ],
)
def test_impossible_excerpts_are_wrong_usage(gallery, song, arguments, words):
    ran = gallery(song, *arguments)
    assert ran.code == 2
    assert words in ran.errors[0]


def test_a_page_that_is_there_is_kept_unless_told_otherwise(gallery, song, tmp_path):
    gallery(song, "--title", "first")
    ran = gallery(song, "--title", "second")
    assert ran.code == 1
    assert "index.html exists already; add --overwrite" in ran.errors[0]
    assert "first" in page_of(tmp_path).words
    assert gallery(song, "--title", "second", "--overwrite").code == 0
    assert "second" in page_of(tmp_path).words
