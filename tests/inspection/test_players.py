"""What notebooks show of sound: HTML with everything inside."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile

import stemlight
from stemlight.audio import Audio, Stems
from stemlight.audio.players import PLAYED_SECONDS

from .material import noise, tone

RATE_HZ = 8000


def played(html):
    kind, encoded = re.search(r'src="data:audio/(\w+);base64,([^"]+)"', html).groups()
    samples, rate_hz = soundfile.read(io.BytesIO(base64.b64decode(encoded, validate=True)))
    return kind, samples.T, rate_hz


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.seen, self.text = [], [], ""

    def handle_starttag(self, tag, attributes):
        self.seen.append(tag)
        if tag != "br":
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.text += text


def parsed(html):
    parser = _Tags()
    parser.feed(html)
    assert parser.open == []
    return parser


def test_the_player_holds_the_sound():
    kind, samples, rate_hz = played(Audio(tone(440), 44_100)._repr_html_())
    assert (kind, rate_hz) == ("mpeg", 44_100)
    assert samples.shape[0] == 2
    middle = samples[:, 10_000:30_000]
    # LAME leaves some room for peaks.
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.08)


@pytest.mark.parametrize(("channels", "rate_hz"), [(6, 44_100), (1, 50_000)])
def test_what_mp3_cannot_hold_is_wav_to_half_a_step(channels, rate_hz):
    sound = np.tile(noise(1000), (3, 1))[:channels]
    kind, samples, found_hz = played(Audio(sound, rate_hz)._repr_html_())
    assert (kind, found_hz) == ("wav", rate_hz)
    np.testing.assert_allclose(np.atleast_2d(samples), sound, atol=2**-16)


def test_only_the_first_seconds_are_inside_and_it_says_so():
    long = Audio(np.zeros((1, RATE_HZ * (PLAYED_SECONDS + 7)), np.float32), RATE_HZ)
    html = long._repr_html_()
    assert "37.00 s" in html
    assert "the first 30 s play" in html
    _, samples, _ = played(html)
    assert samples.shape[-1] == pytest.approx(PLAYED_SECONDS * RATE_HZ, rel=0.02)
    short = Audio(noise(RATE_HZ), RATE_HZ)._repr_html_()
    assert "1.00 s" in short
    assert "play" not in parsed(short).text


def test_the_drawing_is_as_high_as_the_sound_is_loud():
    def heights(html):
        drawn = re.search(r'fill-opacity="0.8" d="M([^"]+)Z"', html).group(1)
        return [float(point.split()[1].split("H")[0]) for point in drawn.split("L")]

    loud, quiet = (heights(Audio(tone(100, 4000, a), RATE_HZ)._repr_html_()) for a in (1, 0.25))
    assert (min(loud), max(loud)) == pytest.approx((0, 40), abs=0.2)
    assert (min(quiet), max(quiet)) == pytest.approx((15, 25), abs=0.2)


def test_names_are_escaped():
    stems = Stems({"<script>alert('x')</script>&": Audio(noise(100), RATE_HZ)})
    html = stems._repr_html_()
    assert "script" not in parsed(html).seen
    assert "<script>alert('x')</script>&" in parsed(html).text
    assert "http" not in html  # nothing is fetched


def test_stems_are_a_dict_that_shows_a_player_for_each():
    stems = Stems({name: Audio(noise(2000), RATE_HZ) for name in ("vocals", "drums")})
    assert isinstance(stems, dict)
    assert list(stems) == ["vocals", "drums"]
    assert parsed(stems._repr_html_()).seen.count("audio") == 2
    assert Stems()._repr_html_() == ""


@pytest.mark.parametrize("samples", [np.zeros((2, 0)), np.full((1, 9), np.nan), np.ones((1, 1))])
def test_strange_sound_is_shown_too(samples):
    html = Audio(samples.astype(np.float32), RATE_HZ)._repr_html_()
    assert "nan" not in html.split("base64")[0]
    assert parsed(html).seen.count("audio") == 1


def test_separating_gives_stems(tiny_model):
    song = Audio(noise(3000), 44_100)
    for stems in (
        stemlight.separate(song, model=tiny_model),
        stemlight.separate(song.samples, model=tiny_model),
        stemlight.load(tiny_model, n_threads=1)(song),
    ):
        assert isinstance(stems, stemlight.Stems)
