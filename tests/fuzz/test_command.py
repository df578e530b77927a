"""`stemlight separate` on a folder of traps: the good songs are done, and nothing else happens."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from .lies import lying_files
from .mutations import mutate
from .seeds import valid_files

N_DAMAGED = 40
STEM = "bass"
MOST_SECONDS = 180

# File names that mean something to a terminal, a shell, a file system or a careless program.
NAMES = [
    b"two\nlines.wav",
    b"carriage\rreturn.wav",
    b"tab\tand\x0bmore\x0c.wav",
    b"bell\x07back\x08space\x7f.wav",
    b"red\x1b[31m and title\x1b]0;pwned\x07.wav",
    b"c1\xc2\x9b31m.wav",
    b"latin b\xe4d.wav",
    b"\xff\xfe\xed\xa0\x80.wav",
    "emoji \U0001f3b5\U0001f468\u200d\U0001f3a4.wav".encode(),
    "right \u202eto\u202c left \u200f\u0634\u0639\u0631.wav".encode(),
    "line\u2028separator.wav".encode(),
    "zero\u200bwidth\ufeff.wav".encode(),
    "decomposed a\u0308.wav".encode(),
    b"-rf.wav",
    b"--output=x.wav",
    b"-.wav",
    b"..wav",
    b"...wav",
    b"....wav.wav",
    b" .wav",
    b"space .wav",
    b"dots...wav",
    b"CON.wav",
    b"aux.WAV",
    b"NUL.tar.wav",
    b"*.wav",
    b"?<>|:\"'.wav",
    b"back\\slash\\..\\..\\x.wav",
    b"$(touch pwned).wav",
    b"`touch pwned`;.wav",
    b"%s%n%(x)s{0}.wav",
    b"[red]markup[bold].wav",
    b"~root.wav",
    b"long " + b"x" * 246 + b".wav",
    b"long " + "ä".encode() * 123 + b".wav",
    b"bass.wav",
    b"report.json.wav",
]
HIDDEN = {b"..wav", b"...wav", b"....wav.wav"}  # begin with a dot, so that a walk passes over them


def write_song(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, (60, 2))
    with path.open("wb") as file:
        soundfile.write(file, samples, 44100, format="WAV", subtype="PCM_16")
    return path


def separate(model: Path, folder: Path, *arguments: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "stemlight", "separate", "--model", model, "--threads", "1"]
    return subprocess.run(
        [*command, "--stems", STEM, *arguments],
        cwd=folder,
        capture_output=True,
        check=False,
        timeout=MOST_SECONDS,
        stdin=subprocess.DEVNULL,
    )


def state(folder: Path, *, without: Path) -> dict[str, str]:
    """Everything in a folder, links as such, and what is in it."""
    found = {}
    for directory, folders, files in os.walk(folder):
        here = Path(directory)
        folders[:] = [name for name in folders if here / name != without]
        for name in (*folders, *files):
            path = here / name
            if path.is_symlink():
                found[str(path)] = f"-> {path.readlink()}"
            elif path.is_file():
                found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
            else:
                found[str(path)] = "a folder"
    return found


def tree(folder: Path) -> set[bytes]:
    return {
        os.path.relpath(os.fsencode(path), os.fsencode(folder))
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }


def refuse_control_characters(ran: subprocess.CompletedProcess[bytes]) -> None:
    for text in (ran.stdout, ran.stderr):
        for line in text.decode("utf-8").split("\n"):  # and it must be text at all
            assert line.isprintable(), repr(line)
    assert b"Traceback" not in ran.stderr
    assert b"bug in stemlight" not in ran.stderr


def errors(ran: subprocess.CompletedProcess[bytes]) -> list[str]:
    return [line for line in ran.stderr.decode().splitlines() if line.startswith("error: ")]


def test_songs_of_any_name_are_done_and_shown_in_plain_lines(tiny_model, tmp_path):
    songs = Path(tmp_path / "songs")
    songs.mkdir()
    first = write_song(tmp_path / "x.wav")
    for name in NAMES:
        (songs / os.fsdecode(name)).write_bytes(first.read_bytes())
    out = tmp_path / "out"
    before = state(tmp_path, without=out)
    ran = separate(tiny_model, tmp_path, "songs", "-o", "out", "--report", "out.json")
    assert (ran.returncode, errors(ran)) == (0, []), ran.stderr
    refuse_control_characters(ran)
    assert len(ran.stdout.splitlines()) == 1 + len(NAMES) - len(HIDDEN)
    report = tmp_path / "out.json"
    assert len(json.loads(report.read_text())["songs"]) == len(NAMES) - len(HIDDEN)
    report.unlink()
    assert state(tmp_path, without=out) == before
    folders = {path.split(b"/")[0] for path in tree(out)}
    expected = {name[: name.rindex(b".")] for name in NAMES if name not in HIDDEN}
    assert folders == expected
    assert {path.split(b"/", 1)[1] for path in tree(out)} == {b"bass.wav"}


def test_names_as_arguments_never_leave_the_output_folder(tiny_model, tmp_path):
    here = tmp_path / "a" / "b"
    songs = [write_song(here / os.fsdecode(name)) for name in HIDDEN]
    write_song(tmp_path / "a" / "up.wav")
    write_song(here / "-rf.wav")
    out = here / "out"
    before = state(tmp_path, without=out)
    names = [*(song.name for song in songs), "../up.wav", "./../b/../up.wav", "..", "-rf.wav"]
    ran = separate(tiny_model, here, "-o", "out", "--", *names)
    assert (ran.returncode, errors(ran)) == (0, []), ran.stderr
    refuse_control_characters(ran)
    assert state(tmp_path, without=out) == before
    assert all(b".." not in path.split(b"/") for path in tree(out))
    assert {path.rsplit(b"/", 1)[1] for path in tree(out)} == {b"bass.wav"}


def test_links_are_followed_to_songs_only_and_never_in_circles(tiny_model, tmp_path):
    songs, outside = tmp_path / "songs", tmp_path / "outside"
    write_song(songs / "deep" / "song.wav")
    write_song(outside / "secret.wav", 1)
    (outside / "words.txt").write_text("no sound, and a secret: 4711")
    links = {
        "to song.wav": "../outside/secret.wav",
        "absolute.wav": outside / "secret.wav",
        "chain.wav": "to song.wav",
        "words.wav": "../outside/words.txt",
        "nowhere.wav": "nothing/here.wav",
        "itself.wav": "itself.wav",
        "there.wav": "back.wav",
        "back.wav": "there.wav",
        "folder.wav": "../outside",
        "memory.wav": "/dev/zero",
        "noise.wav": "/dev/urandom",
        "nothing.wav": "/dev/null",
        "loop": "..",
        "deep/loop": ".",
        "elsewhere": "../outside",
    }
    for name, target in links.items():
        (songs / name).symlink_to(target)
    out = tmp_path / "out"
    before = state(tmp_path, without=out)
    ran = separate(tiny_model, tmp_path, "songs", "-o", "out")
    assert ran.returncode == 1
    refuse_control_characters(ran)
    assert state(tmp_path, without=out) == before
    done = {b"deep/song", b"to song", b"absolute", b"chain"}
    assert tree(out) == {name + b"/bass.wav" for name in done}
    bad = {"words", "nowhere", "itself", "there", "back", "memory", "noise", "nothing"}
    assert len(errors(ran)) == len(bad)
    for name in bad:
        assert sum(f"songs/{name}.wav" in line for line in errors(ran)) == 1, name
    assert "4711" not in ran.stderr.decode()


def test_links_in_the_output_folder_are_followed_inside_of_it_alone(tiny_model, tmp_path):
    songs, out, outside = tmp_path / "songs", tmp_path / "out", tmp_path / "outside"
    names = ["to outside", "to nowhere", "to itself", "to inside", "good", "deep/song", "up/song"]
    for name in names:
        write_song(songs / f"{name}.wav")
    outside.mkdir()
    (out / "inside").mkdir(parents=True)
    (out / "to outside").symlink_to(outside)
    (out / "to nowhere").symlink_to(tmp_path / "nowhere")
    (out / "to itself").symlink_to("to itself")
    (out / "to inside").symlink_to("inside")
    (out / "deep").symlink_to("../outside")
    (out / "up").symlink_to("..")
    link = tmp_path / "link"
    link.symlink_to("out")  # the folder that was asked for may be a link itself
    before = state(tmp_path, without=out)
    ran = separate(tiny_model, tmp_path, "songs", "-o", "link", "--overwrite")
    assert ran.returncode == 1
    refuse_control_characters(ran)
    assert state(tmp_path, without=out) == before
    leads_out = "is a link, or below one, that leads out of link to"
    for name, place in {
        "to outside": "outside",
        "to nowhere": "nowhere",
        "deep/song": "outside/song",
        "up/song": "song",
    }.items():
        line = (
            f"error: songs/{name}.wav: link/{name} {leads_out} {tmp_path}/{place}; "
            "remove the link, or choose another --output"
        )
        assert line in errors(ran)
    (other,) = (line for line in errors(ran) if leads_out not in line)
    assert other.startswith("error: songs/to itself.wav: ")
    written = {path for path in tree(out) if path.endswith(b".wav")}
    assert written == {b"inside/bass.wav", b"good/bass.wav"}


def test_each_damaged_song_gets_one_line_and_the_others_are_done(tiny_model, tmp_path):
    songs = tmp_path / "songs"
    good = {f"good {number}" for number in range(3)}
    for name in good:
        write_song(songs / f"{name}.wav")
    files = valid_files()
    lies = list(lying_files(files))
    chosen = [(suffix, content) for _, suffix, content in lies[:: len(lies) // N_DAMAGED]]
    for number in range(N_DAMAGED):
        name, content = mutate(files, 1, number)
        chosen.append((name.split("-")[0], content))
    for number, (suffix, content) in enumerate(chosen):
        known = suffix if suffix in ("mp3", "m4a", "flac", "ogg", "opus", "aiff") else "wav"
        (songs / f"{number}.{known}").write_bytes(content)
    out = tmp_path / "out"
    before = state(tmp_path, without=out)
    report = tmp_path / "report.json"
    ran = separate(tiny_model, tmp_path, "songs", "-o", "out", "--report", report)
    assert ran.returncode == 1
    refuse_control_characters(ran)
    rows = json.loads(report.read_text())["songs"]
    report.unlink()
    assert state(tmp_path, without=out) == before
    failed = {Path(row["input"]).stem for row in rows if row["status"] == "failed"}
    done = {Path(row["input"]).stem for row in rows if row["status"] == "done"}
    assert failed | done == good | {str(number) for number in range(len(chosen))}
    assert good <= done
    assert not failed & done
    assert len(errors(ran)) == len(failed) > 20
    assert tree(out) == {f"{name}/bass.wav".encode() for name in done}


@pytest.mark.parametrize("name", ["out", "songs"])
def test_a_walk_never_takes_its_own_stems_for_songs(tiny_model, tmp_path, name):
    write_song(tmp_path / "songs" / "song.wav")
    for _ in range(2):
        ran = separate(tiny_model, tmp_path, "songs", "-o", name, "--overwrite")
        assert ran.returncode == 0, ran.stderr
    assert tree(tmp_path) == {b"songs/song.wav", f"{name}/song/bass.wav".encode()}
