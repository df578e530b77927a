"""The singing synthesiser Sinsy with the voice that its package `pysinsy` brings."""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from stemlight.errors import MissingExtraError
from stemlight.shapes import Float32
from stemlight.synthesis.melody import Sung
from stemlight.synthesis.notes import SAMPLE_RATE_HZ, Random, choose

__all__ = ["COMFORTABLE_PITCH", "sing_with_sinsy"]

COMFORTABLE_PITCH = 65
"""The middle of the voice's range."""

_OWN_RATE_HZ = 48000
_DIVISIONS = 12  # of a quarter note
_LEAD_IN = 2  # quarters of rest before and after
_STEPS = ("C", "C", "D", "D", "E", "F", "F", "G", "G", "A", "A", "B")
_SHARP = (0, 1, 0, 1, 0, 0, 1, 0, 1, 0, 1, 0)
_KANA = (
    "らりるれろまみむめもなにぬねのたてとかきくけこさしせそはひふほやゆよ"
    "わばびべぼだでどがげござあいうえお"
)


@functools.lru_cache(maxsize=1)
def _engine() -> Any:
    """Load the extension alone: the package asks for the `pkg_resources` of old setuptools."""
    package = importlib.util.find_spec("pysinsy")
    if package is None or not package.submodule_search_locations:
        raise MissingExtraError(
            "sung lines need pysinsy, which is not installed; run: pip install 'stemlight[synth]'"
        )
    folder = Path(next(iter(package.submodule_search_locations)))
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        path = folder / f"sinsy{suffix}"
        if path.is_file():
            break
    else:
        raise MissingExtraError(f"{folder} holds no sinsy extension; install pysinsy again")
    loader = importlib.machinery.ExtensionFileLoader("pysinsy.sinsy", str(path))
    spec = importlib.util.spec_from_file_location("pysinsy.sinsy", path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    engine = module.Sinsy()
    engine.setLanguages("j", str(folder / "_dic"))
    engine.loadVoices(str(next((folder / "htsvoice").glob("*.htsvoice"))))
    return engine


def sing_with_sinsy(
    random: Random, line: Sequence[Sung], tempo_bpm: float, first_beat: float, *, lower: float
) -> Float32[np.ndarray, " samples"]:
    """Sing a line; the first sample is at `first_beat`.

    The voice is made larger by `lower` semitones: it sings that much higher and faster, and is then
    slowed down, formants and all.
    """
    factor = 2 ** (lower / 12)
    score = _score(random, line, tempo_bpm * factor, first_beat, round(lower))
    engine = _engine()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "score.xml"
        path.write_text(score, encoding="utf-8")
        engine.loadScoreFromMusicXML(str(path))
        row, _ = engine.synthesize()
        engine.clearScore()
    row = soxr.resample(np.asarray(row, np.float32), _OWN_RATE_HZ / factor, SAMPLE_RATE_HZ)
    row = row[int(_LEAD_IN * 60 / tempo_bpm * SAMPLE_RATE_HZ) :]
    peak = float(np.abs(row).max(initial=0))
    return row / np.float32(peak) if peak > 0 else row


def _score(
    random: Random, line: Sequence[Sung], tempo_bpm: float, first_beat: float, shift: int
) -> str:
    """Write the line as MusicXML, as one long bar with syllables drawn from Japanese."""
    notes = []
    now = -_LEAD_IN * _DIVISIONS
    for index, item in enumerate(line):
        start = round((item.note.beat - first_beat) * _DIVISIONS)
        end = round((item.note.beat + item.note.beats - first_beat) * _DIVISIONS)
        if index + 1 < len(line):
            end = min(end, round((line[index + 1].note.beat - first_beat) * _DIVISIONS))
        if start < now or end <= start:
            continue
        if start > now:
            notes.append(_rest(start - now))
        pitch = round(item.note.pitch) + shift
        notes.append(
            f"<note><pitch><step>{_STEPS[pitch % 12]}</step><alter>{_SHARP[pitch % 12]}</alter>"
            f"<octave>{pitch // 12 - 1}</octave></pitch><duration>{end - start}</duration>"
            "<voice>1</voice><type>quarter</type><lyric><syllabic>single</syllabic>"
            f"<text>{choose(random, _KANA)}</text></lyric></note>"
        )
        now = end
    n_beats = -(-now // _DIVISIONS) + _LEAD_IN
    notes.append(_rest(n_beats * _DIVISIONS - now))
    return (
        '<?xml version="1.0" encoding="UTF-8"?><score-partwise version="2.0"><part-list>'
        '<score-part id="P1"><part-name>voice</part-name></score-part></part-list><part id="P1">'
        f'<measure number="1"><attributes><divisions>{_DIVISIONS}</divisions>'
        f"<key><fifths>0</fifths><mode>major</mode></key><time><beats>{n_beats + _LEAD_IN}</beats>"
        "<beat-type>4</beat-type></time><clef><sign>G</sign><line>2</line></clef></attributes>"
        f'<direction><sound tempo="{tempo_bpm:.3f}"/></direction>'
        f"{''.join(notes)}</measure></part></score-partwise>"
    )


def _rest(duration: int) -> str:
    return f"<note><rest/><duration>{duration}</duration><voice>1</voice></note>"
