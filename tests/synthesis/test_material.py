"""What is found on a machine, what is taken from it, and what is said where there is nothing."""

from __future__ import annotations

import shutil
import struct

import numpy as np
import pytest
import soundfile

from stemlight.errors import InputError, UsageError
from stemlight.synthesis import find_material, material
from stemlight.synthesis.kits import folder_kit, load_sample
from stemlight.synthesis.licences import terms_of_font, terms_of_kit
from stemlight.synthesis.material import read_presets
from stemlight.synthesis.notes import SAMPLE_RATE_HZ, TimedNote, random_of
from stemlight.synthesis.soundfonts import play_preset

KIT = """<drumkit_info xmlns="http://www.hydrogen-music.org/drumkit"><instrumentList>
<instrument><name>Big Kick</name>
<layer><filename>hard.wav</filename><max>1</max></layer>
<layer><filename>soft.wav</filename><max>0.5</max></layer></instrument>
<instrument><name>Sabian Hat Open</name><filename>hard.wav</filename></instrument>
<instrument><name>Whistle</name><filename>hard.wav</filename></instrument>
<instrument><name>Snare</name><filename>missing.wav</filename></instrument>
</instrumentList></drumkit_info>"""


@pytest.fixture
def bare(monkeypatch):
    """A machine without any of the packages."""
    for name in ("_FONT_FOLDERS", "_KIT_FOLDERS", "_SAMPLE_FOLDERS"):
        monkeypatch.setattr(material, name, ())


@pytest.fixture
def kit(tmp_path):
    """A kit with a kick of two layers, at 48 kHz and mono."""
    folder = tmp_path / "fonts" / "kit"
    folder.mkdir(parents=True)
    (folder / "drumkit.xml").write_text(KIT)
    for name, gain in (("hard", 0.5), ("soft", 0.1)):
        row = np.zeros(9600)
        row[2400:4800] = gain * np.sin(np.arange(2400) * (0.05 if name == "hard" else 0.02))
        soundfile.write(folder / f"{name}.wav", row, 48000)
    return folder


def font_bytes(presets, *, pads):
    records = [
        struct.pack("<20sHHHIII", name.encode(), program, bank, 0, 0, 0, 0)
        for (bank, program), name in presets.items()
    ]
    records.append(struct.pack("<20sHHHIII", b"EOP", 0, 0, 0, 0, 0, 0))
    headers = b"".join(records)
    sounds = b"LIST" + struct.pack("<I", 7) + b"sdtaabc" + (b"\0" if pads else b"")
    lists = b"pdta" + b"phdr" + struct.pack("<I", len(headers)) + headers
    body = b"sfbk" + sounds + b"LIST" + struct.pack("<I", len(lists)) + lists
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("pads", [True, False])
def test_presets_of_a_font_are_read_with_and_without_padding(tmp_path, pads):
    presets = {(0, 0): "Grand", (128, 8): "Room"}
    path = tmp_path / "small.sf2"
    path.write_bytes(font_bytes(presets, pads=pads))
    assert read_presets(path) == presets


@pytest.mark.usefixtures("bare")
def test_a_font_of_the_user_that_is_none_is_an_input_error(tmp_path):
    (tmp_path / "broken.sf2").write_bytes(b"RIFF")
    with pytest.raises(InputError, match=r"broken\.sf2 cannot be read as a soundfont"):
        find_material([tmp_path])


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("text", ["<oops", KIT.replace("0.5", "half"), ""])
def test_a_kit_of_the_user_that_is_none_is_an_input_error(kit, text):
    (kit / "drumkit.xml").write_text(text)
    with pytest.raises(InputError, match=r"drumkit\.xml cannot be read as a drum kit"):
        find_material([kit])


@pytest.mark.usefixtures("bare")
def test_names_of_two_lines_are_refused(kit):
    with pytest.raises(InputError, match=r"my\\nkit' has line breaks .* rename it"):
        find_material([kit.rename(kit.with_name("my\nkit"))])


def test_kits_of_the_system_that_are_none_are_left_out(kit, monkeypatch):
    for name in ("_FONT_FOLDERS", "_SAMPLE_FOLDERS"):
        monkeypatch.setattr(material, name, ())
    monkeypatch.setattr(material, "_KIT_FOLDERS", (str(kit.parent),))
    broken = shutil.copytree(kit, kit.parent / "broken")
    (broken / "drumkit.xml").write_text("<oops")
    assert [found.path for found in find_material().kits] == [kit.resolve()]


@pytest.mark.usefixtures("bare")
def test_kits_of_one_name_come_in_the_order_of_their_places(kit):
    others = [shutil.copytree(kit, kit.parent / str(n) / "kit") for n in range(8)]
    found = [one.path for one in find_material([kit.parent]).kits]
    assert found == sorted([kit.resolve(), *(other.resolve() for other in others)])


def test_a_sound_that_is_none_is_an_input_error(kit):
    (kit / "hard.wav").write_bytes(b"noise")
    with pytest.raises(InputError, match=r"hard\.wav cannot be read"):
        folder_kit(kit, random_of(1))


@pytest.mark.parametrize("missing", [0, 111, 119])
def test_a_font_without_one_of_the_instruments_is_no_general_midi(tmp_path, missing):
    presets = {(0, program): "any" for program in range(120) if program != missing}
    font = material.SoundFont(tmp_path / "a.sf2", presets, terms_of_font(tmp_path / "a.sf2"))
    assert not font.is_general_midi
    full = {**presets, (0, missing): "any"}
    assert material.SoundFont(font.path, full, font.terms).is_general_midi


@pytest.mark.usefixtures("bare")
def test_where_there_is_nothing_the_packages_are_named(tmp_path):
    with pytest.raises(UsageError, match=r"apt install fluid-soundfont-gm .* --soundfonts FOLDER"):
        find_material([tmp_path])
    with pytest.raises(UsageError, match="nowhere is not a folder"):
        find_material([tmp_path / "nowhere"])


@pytest.mark.usefixtures("bare")
def test_a_kit_is_found_below_the_users_folder_and_the_rest_is_missed(kit):
    found = find_material([kit.parent.parent])
    assert [folder.path for folder in found.kits] == [kit.resolve()]
    assert "General MIDI soundfonts" in found.missing
    assert found.kits[0].terms.licence == "unknown"
    with pytest.raises(UsageError, match="were found"):
        find_material([kit.parent.parent], permissive_only=True)


def test_loops_of_uncertain_origin_are_not_permissive(tmp_path, monkeypatch):
    (tmp_path / "loop_breakbeat.flac").touch()
    monkeypatch.setattr(material, "_SAMPLE_FOLDERS", (str(tmp_path),))
    assert find_material().has_loops
    assert "sonic-pi loops" in find_material().terms()
    permissive = find_material(permissive_only=True)
    assert not permissive.has_loops
    assert "sonic-pi samples" in permissive.terms()
    assert all(terms.is_permissive for terms in permissive.terms().values())


def test_a_kit_gives_its_pieces_soft_to_loud_at_the_right_rate(kit):
    pieces = folder_kit(kit, random_of(1))
    assert {name: len(layers) for name, layers in pieces.items()} == {"kick": 2, "hat_open": 1}
    soft, hard = pieces["kick"]
    crossings = [int((np.diff(np.sign(layer[0])) != 0).sum()) for layer in (soft, hard)]
    assert crossings[0] < crossings[1]
    for layer in (soft, hard):
        assert np.abs(layer).max() == pytest.approx(1, abs=0.01)
        assert layer.shape[1] == pytest.approx(2400 * 44100 / 48000, rel=0.1)
    assert load_sample(kit / "hard.wav") is load_sample(kit / "hard.wav")  # decoded once


def test_terms_are_known_by_the_names_of_the_packages_files(tmp_path):
    assert terms_of_font(tmp_path / "FluidR3_GM.sf2").is_permissive
    assert terms_of_font(tmp_path / "FluidR3Mono_GM.sf3").package == "fluidr3mono-gm-soundfont"
    assert not terms_of_font(tmp_path / "Black_Pearl_4_LV2.sf2").is_permissive
    assert terms_of_kit(tmp_path / "Audiophob").licence == "CC0-1.0"
    assert terms_of_kit(tmp_path / "mine").licence == "unknown"
    assert not terms_of_kit(tmp_path / "mine").is_permissive


@pytest.fixture(scope="module")
def font():
    """A General MIDI soundfont of this machine."""
    pytest.importorskip("tinysoundfont")
    try:
        fonts = find_material().general_midi
    except UsageError:
        fonts = ()
    if not fonts:
        pytest.skip("no General MIDI soundfont is installed")
    return fonts[0].path


def test_what_rings_at_the_end_is_not_heard_in_what_is_rendered_next(font):
    chord = [TimedNote(0.0, 3.0, pitch, 0.9) for pitch in (60, 64, 67)]
    alone = play_preset(font, (0, 48), chord, 8000)
    play_preset(font, (0, 0), chord, 4000)
    np.testing.assert_array_equal(play_preset(font, (0, 48), chord, 8000), alone)


def test_a_font_with_presets_and_nothing_else_is_an_input_error(tmp_path):
    pytest.importorskip("tinysoundfont")
    path = tmp_path / "empty.sf2"
    path.write_bytes(font_bytes({(0, 0): "Grand"}, pads=True))
    with pytest.raises(InputError, match=r"empty\.sf2 cannot be played"):
        play_preset(path, (0, 0), [], 100)


def test_a_soundfont_plays_the_pitch_when_the_note_says(font):
    sound = play_preset(font, (0, 73), [TimedNote(0.5, 1.0, 69, 0.9)], 2 * SAMPLE_RATE_HZ)
    assert np.abs(sound[:, : SAMPLE_RATE_HZ // 2]).max() < 1e-6
    middle = sound.mean(0)[int(0.8 * SAMPLE_RATE_HZ) :][:22050]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(22050)))
    loudest_hz = 2 * int(np.argmax(spectrum))
    assert min(abs(loudest_hz / multiple - 440) for multiple in (1, 2, 3)) < 8
