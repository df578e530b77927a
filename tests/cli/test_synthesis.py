"""`stemlight data synth`: songs, what is said, and exit codes."""

from __future__ import annotations

import pytest

from stemlight.synthesis import Material, material

SHORT = ("--hours", "0.002", "--shortest", "5", "--longest", "6")


@pytest.fixture
def no_fonts(monkeypatch):
    """Let the command find nothing, as on a machine without the packages, and go on."""
    monkeypatch.setattr(
        "stemlight.synthesis.find_material",
        lambda *_, **__: Material(missing=("General MIDI soundfonts",)),
    )


@pytest.mark.usefixtures("no_fonts")
def test_songs_are_written_and_the_folder_is_the_result(run, tmp_path):
    ran = run("data", "synth", *SHORT, "--seed", "4", "-o", tmp_path / "songs")
    assert ran.code == 0
    assert ran.out.strip() == str(tmp_path / "songs")
    lines = ran.err.splitlines()
    assert lines[0] == "not found, and left out: General MIDI soundfonts"
    assert lines[1:] == [f"[{n}/2] songs" for n in range(3)]
    assert sorted(path.name for path in (tmp_path / "songs" / "synth-4-00000").iterdir()) == [
        "bass.flac", "drums.flac", "other.flac", "song.json", "vocals.flac",
    ]  # fmt: skip
    checked = run("data", "check", tmp_path / "songs")
    assert checked.code == 0
    assert "tracks    2 (2 of 44100 Hz)" in checked.out


def test_without_any_material_the_packages_to_install_are_named(run, tmp_path, monkeypatch):
    for name in ("_FONT_FOLDERS", "_KIT_FOLDERS", "_SAMPLE_FOLDERS"):
        monkeypatch.setattr(material, name, ())
    ran = run("data", "synth", *SHORT, "-o", tmp_path / "songs")
    assert ran.code == 2
    assert "apt install fluid-soundfont-gm" in ran.err
    assert not (tmp_path / "songs").exists()


@pytest.mark.usefixtures("no_fonts")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--hours", "-1"), "hours must be above 0"),
        (("--hours", "1", "--seed", "-5"), "the seed must be from 0"),
        (("--hours", "1", "--longest", "10"), "songs must last from 4 to 600 seconds"),
        ((*SHORT, "--workers", "0"), "workers must be at least 1"),
    ],
)
def test_numbers_that_cannot_be_end_with_code_2(run, tmp_path, options, message):
    ran = run("data", "synth", *options, "-o", tmp_path / "songs")
    assert ran.code == 2
    assert message in ran.err
