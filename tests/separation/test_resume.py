"""What was finished is known again; what was not is done anew; a killed process leaves no trace."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemlight.chunking import ChunkPlan
from stemlight.errors import CancelledError, OutputError, UsageError
from stemlight.separation import Separator
from stemlight.separation.resume import RECORD_FILE, read_record
from stemlight.separation.songs import SongOptions, SongReport, separate_file

from .fakes import GainBackend, noise

PLAN = ChunkPlan(chunk_samples=1000, trim_samples=100, overlap_samples=200)
RESUME = SongOptions(resume="the model")
N_MOMENTS = 6


class CountingBackend(GainBackend):
    """Answers like `GainBackend` and counts how often it is asked."""

    n_calls = 0

    def separate_chunks(self, mixture, sources):
        self.n_calls += 1
        return super().separate_chunks(mixture, sources)


@pytest.fixture
def backend() -> CountingBackend:
    return CountingBackend({"loud": 1.0, "soft": 0.25})


@pytest.fixture
def separate(tmp_path, backend):
    """Separate `song` into `out`; return the report and whether any work was done."""

    def call(song: Path | io.BytesIO, **changes: object) -> tuple[SongReport, bool]:
        before = backend.n_calls
        report = separate_file(
            Separator(backend, PLAN),
            song,
            tmp_path / "out",
            options=dataclasses.replace(RESUME, **changes),
        )
        assert report.was_done == (backend.n_calls == before)
        return report, backend.n_calls > before

    return call


@pytest.fixture
def song(tmp_path) -> Path:
    return write(tmp_path / "song.wav", 0.9 * noise(2, 5000))


def write(path: Path, samples: np.ndarray) -> Path:
    soundfile.write(path, samples.T, 8000, subtype="FLOAT")
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if not path.is_dir()
    }


# What is recognised


def test_a_finished_song_is_not_done_again_and_reported_the_same(tmp_path, separate, song):
    first, _ = separate(song)
    before = contents(tmp_path / "out")
    second, worked = separate(song)
    assert not worked
    assert contents(tmp_path / "out") == before
    unlike = {"elapsed_seconds", "real_time_factor", "was_done"}
    plain = [
        {key: value for key, value in report.to_json().items() if key not in unlike}
        for report in (first, second)
    ]
    assert plain[0] == plain[1]


def test_a_song_of_another_name_or_none_is_known_by_its_content(tmp_path, separate, song):
    separate(song)
    copy = tmp_path / "copy.flac"
    copy.write_bytes(song.read_bytes())
    assert not separate(copy)[1]
    assert not separate(io.BytesIO(song.read_bytes()))[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"resume": "another model"},
        {"bit_depth": "16"},
        {"exact_sum": "proportional"},
        {"on_clip": "clip"},
        {"sources": ["soft", "loud"]},
        {"sources": ["soft"], "complement": "loud_too"},
    ],
)
def test_another_model_or_option_is_another_work(tmp_path, separate, song, changes):
    separate(song)
    report, worked = separate(song, **changes)
    assert worked
    assert not separate(song, **changes)[1]
    expected = separate_file(
        Separator(GainBackend({"loud": 1.0, "soft": 0.25}), PLAN),
        song,
        tmp_path / "fresh",
        options=dataclasses.replace(RESUME, **{**changes, "resume": None}),
    )
    for name, stem in expected.stems.items():
        assert stem.path.read_bytes() == report.stems[name].path.read_bytes()


def test_a_file_object_that_is_hashed_is_separated_from_its_beginning(tmp_path, separate, song):
    separate(io.BytesIO(song.read_bytes()))
    before = contents(tmp_path / "out")
    assert not separate(song)[1]
    (tmp_path / "out" / RECORD_FILE).unlink()
    assert separate(song, overwrite=True)[1]
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("changes", [{"overwrite": True}, {"bit_depth": "24"}])
def test_what_changes_no_byte_is_the_same_work(separate, song, changes):
    separate(song)
    assert not separate(song, **changes)[1]


def test_another_song_in_its_place_is_done(tmp_path, separate, song):
    separate(song)
    write(song, 0.5 * noise(2, 5000, seed=1))
    assert separate(song)[1]
    assert not separate(song)[1]


@pytest.mark.parametrize("harm", ["changed", "shortened", "missing"])
def test_a_harmed_stem_is_made_anew(tmp_path, separate, song, harm):
    separate(song)
    before = contents(tmp_path / "out")
    stem = tmp_path / "out" / "soft.wav"
    if harm == "missing":
        stem.unlink()
    else:
        content = bytearray(stem.read_bytes())
        content[-5] ^= 1
        stem.write_bytes(content if harm == "changed" else content[:-1])
    assert separate(song)[1]
    assert contents(tmp_path / "out") == before


def test_a_stem_file_is_recognised(tmp_path, song):
    gains = dict.fromkeys(("vocals", "drums", "bass", "other"), 0.25)
    separator = Separator(GainBackend(gains, sample_rate_hz=44_100), PLAN)
    samples, _ = soundfile.read(song)
    soundfile.write(song, samples, 44_100)
    options = dataclasses.replace(RESUME, format="stem.mp4")
    runs = [separate_file(separator, song, tmp_path / "dj", options=options) for _ in range(2)]
    assert [run.was_done for run in runs] == [False, True]
    assert runs[0].stems == runs[1].stems


def test_works_on_other_stems_are_remembered_side_by_side(separate, song):
    separate(song, sources=["soft"])
    separate(song, sources=["loud"])
    assert not separate(song, sources=["soft"])[1]
    assert not separate(song, sources=["loud"])[1]


# What is never taken


def test_stems_that_no_record_knows_are_refused(tmp_path, separate, song):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "soft.wav").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"holds soft\.wav already"):
        separate(song)
    assert contents(tmp_path / "out") == {"soft.wav": b"mine"}
    assert separate(song, overwrite=True)[1]
    assert not separate(song)[1]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b'{"format": 2}',
        b'{"format": 1, "done": [1]}',
        b'{"format": 1, "done": {"key": {"files": {"soft.wav": 3}}}}',
        b"[" * 100_000,
    ],
)
def test_a_record_that_cannot_be_understood_is_none(tmp_path, separate, song, content):
    separate(song)
    (tmp_path / "out" / RECORD_FILE).write_bytes(content)
    with pytest.raises(OutputError, match="already"):
        separate(song)


def test_without_resume_there_is_no_record(tmp_path, separate, song):
    separate(song, resume=None)
    assert sorted(contents(tmp_path / "out")) == ["loud.wav", "soft.wav"]


def test_the_record_tells_hashes_and_neither_time_nor_place(tmp_path, separate, song):
    report, _ = separate(song)
    text = (tmp_path / "out" / RECORD_FILE).read_text()
    assert str(tmp_path) not in text
    (done,) = json.loads(text)["done"].values()
    for stem in report.stems.values():
        digest = hashlib.sha256(stem.path.read_bytes()).hexdigest()
        assert done["files"][stem.path.name]["sha256"] == digest
    (entry,) = read_record(tmp_path / "out").done.values()
    assert entry.written.n_samples == 5000


def test_a_pipe_cannot_be_recognised(tmp_path, separate, song):
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    with pytest.raises(UsageError, match="this file object cannot seek; copy it into a file"):
        separate(Pipe(song.read_bytes()))


def test_hashing_can_be_cancelled(tmp_path, backend, song):
    calls = []

    def cancel(n_done: int, n_total: int | None) -> bool:
        calls.append(n_done)
        return False

    with pytest.raises(CancelledError):
        separate_file(
            Separator(backend, PLAN), song, tmp_path / "out", options=RESUME, on_progress=cancel
        )
    assert (calls, backend.n_calls) == ([0], 0)


# Killed

WORKER = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    import numpy as np
    from stemlight.chunking import ChunkPlan
    from stemlight.separation import Separator
    from stemlight.separation.songs import SongOptions, separate_file

    songs, out, last_step = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])

    class Halves:
        sources, sample_rate_hz, n_channels = ("loud", "soft"), 8000, 2
        def separate_chunks(self, mixture, sources):
            return np.stack([mixture * np.float32(0.75), mixture * np.float32(0.25)], axis=1)

    n_steps = 0
    def dying_before(step):
        def count_and_die(*arguments):
            global n_steps
            n_steps += 1
            if n_steps == last_step:
                os.kill(os.getpid(), signal.SIGKILL)
            return step(*arguments)
        return count_and_die
    os.link = dying_before(os.link)

    separator = Separator(Halves(), ChunkPlan(chunk_samples=4000, overlap_samples=500))
    options = SongOptions(resume="halves", exact_sum="proportional", bit_depth=sys.argv[4])
    if last_step:  # the writers have renamed when the first name is kept
        replace = Path.replace
        def replace_and_die(source, target):
            return (dying_before(replace) if n_steps else replace)(source, target)
        Path.replace = replace_and_die
    print("ready", flush=True)
    for song in sorted(songs.glob("*.wav")):
        separate_file(separator, song, out / song.stem, options=options)
    """
)


@pytest.fixture(scope="module")
def songs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("songs")
    for index in range(4):
        level = 2.0 if index == 1 else 0.5  # one needs a guard gain
        write(folder / f"{index}.wav", level * noise(2, 150_000, seed=index))
    return folder


def worker(songs: Path, out: Path, *, last_step: int = 0, bit_depth: str = "24"):
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, songs, out, str(last_step), bit_depth],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def finish(process) -> int:
    process.communicate(timeout=60)
    return process.returncode


@pytest.fixture(scope="module")
def undisturbed(songs, tmp_path_factory) -> tuple[dict[str, bytes], float]:
    out = tmp_path_factory.mktemp("undisturbed")
    process = worker(songs, out)
    started = time.perf_counter()
    assert finish(process) == 0
    return contents(out), time.perf_counter() - started


def test_after_being_killed_at_any_moment_the_files_are_those_of_an_undisturbed_run(
    songs, undisturbed, tmp_path
):
    expected, n_seconds = undisturbed
    moments = random.Random(0)
    n_killed = 0
    for number in range(N_MOMENTS):
        out = tmp_path / str(number)
        process = worker(songs, out)
        time.sleep(moments.uniform(0, n_seconds))
        process.send_signal(signal.SIGKILL)
        n_killed += finish(process) == -signal.SIGKILL
        assert finish(worker(songs, out)) == 0
        assert contents(out) == expected
        assert sorted(path.name for path in out.iterdir()) == ["0", "1", "2", "3"]
    assert n_killed >= 1


@pytest.mark.parametrize("last_step", range(1, 8))
def test_being_killed_between_two_steps_of_placing_is_no_exception(songs, tmp_path, last_step):
    """In a folder that exists, stems of another depth are replaced file by file."""
    one = tmp_path / "songs"
    one.mkdir()
    write(one / "0.wav", 0.5 * noise(2, 3000))
    for name in ("expected", "out"):
        assert finish(worker(one, tmp_path / name, bit_depth="16")) == 0
    assert finish(worker(one, tmp_path / "expected")) == 0
    killed = finish(worker(one, tmp_path / "out", last_step=last_step))
    assert killed == (-signal.SIGKILL if last_step <= 6 else 0)
    assert finish(worker(one, tmp_path / "out")) == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "expected")
    assert sorted(path.name for path in (tmp_path / "out").rglob("*") if path.is_dir()) == ["0"]
