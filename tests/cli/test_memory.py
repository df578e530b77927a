"""`--max-memory`: a limit that holds, one line where it is too low, the same stems elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stemlight.errors import InputError, UsageError, WeightsError
from stemlight.memory import MemoryLimit, size_bytes

from .material import noise, python, stemlight, stems_of, tree, write_song

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such limit")


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [
        ("800M", 800_000_000),
        ("1G", 10**9),
        ("1.5GB", 1_500_000_000),
        ("2GiB", 2 * 2**30),
        ("2gib", 2 * 2**30),
        ("0.5 Gi", 2**29),
        ("64k", 64_000),
        ("1T", 10**12),
        ("1048576", 2**20),
        ("100B", 100),
    ],
)
def test_sizes_are_read_as_people_write_them(text, n_bytes):
    assert size_bytes(text) == n_bytes


@pytest.mark.parametrize("text", ["", "much", "-1G", "1.G", "1e9", "inf", "1,5G", "1iB", "1GG"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(UsageError, match=r"must be a size such as 800M, 1\.5G or 2GiB, not "):
        size_bytes(text)


def test_what_is_no_size_is_wrong_usage_before_any_work(run, song, tmp_path):
    ran = run("separate", song, "-o", tmp_path / "out", "--max-memory", "lots")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: --max-memory must be a size such as 800M, 1.5G or 2GiB")
    assert not (tmp_path / "out").exists()


@linux_only
def test_less_than_the_program_itself_needs_is_one_line(model, song, tmp_path):
    ran = stemlight(
        "separate", song, "--model", model, "-o", tmp_path / "out", "--max-memory", "9M"
    )
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1)
    assert ran.stderr.startswith("error: --max-memory 9M is less than the ")
    assert ran.stderr.endswith(" MB that stemlight needs before it loads a model; allow more\n")
    assert not (tmp_path / "out").exists()


@linux_only
def test_songs_that_need_more_get_one_line_each_and_leave_nothing(tmp_path):
    """From what loading needs to what a song needs, in steps: no limit ends in another way."""
    songs = [write_song(tmp_path / f"{name}.flac", noise(1000)) for name in ("a", "b")]
    out, endings = tmp_path / "out", []
    for n_megabytes in range(_least_megabytes(songs[0], out), 2000, 50):
        size = f"{n_megabytes}M"
        ran = stemlight(
            *("separate", *songs, "-o", out, "--threads", "1", "--quiet", "--max-memory", size)
        )
        lines = [line for line in ran.stderr.splitlines() if line.startswith("error: ")]
        assert "Traceback" not in ran.stderr
        endings.append(ran.returncode)
        if ran.returncode == 0:
            break
        needs_more = f"needs more memory than --max-memory {size} allows; allow more, or"
        if ran.returncode == 2:
            assert lines == [f"error: loading stemlight {needs_more} take fewer --threads"]
        else:
            assert lines == [
                f"error: {song}: separating it {needs_more} ask for fewer --stems or --threads"
                for song in songs
            ]
        assert not out.exists()
    assert endings[-1] == 0
    assert endings == sorted(endings, key=[2, 1, 0].index)
    assert 1 in endings
    assert tree(out) == [*stems_of("a"), *stems_of("b")]


def _least_megabytes(song: Path, out: Path) -> int:
    """Return what the program needs before it loads a model, as it says itself."""
    ran = stemlight("separate", song, "-o", out, "--threads", "1", "--max-memory", "1M")
    words = ran.stderr.split()
    return int(words[words.index("MB") - 1]) + 1


@linux_only
def test_a_limit_that_is_high_enough_changes_no_byte(model, song, tmp_path):
    for name, limit in (("free", ()), ("limited", ("--max-memory", "99999999T"))):
        ran = stemlight("separate", song, "--model", model, "-o", tmp_path / name, *limit)
        assert ran.returncode == 0, ran.stderr
    for stem in stems_of("song"):
        free, limited = (tmp_path / name / stem for name in ("free", "limited"))
        assert free.read_bytes() == limited.read_bytes()


@linux_only
def test_the_limit_holds_for_processes_that_are_started_and_ends_with_the_command():
    code = (
        "import subprocess, sys\n"
        "from stemlight.memory import MemoryLimit\n"
        "from stemlight.errors import InputError\n"
        "with MemoryLimit('800M') as memory:\n"
        "    child = [sys.executable, '-c', 'bytearray(900_000_000)']\n"
        "    print(subprocess.run(child, capture_output=True).stderr)\n"
        "    try:\n"
        "        with memory.named('this', cure='try less'): bytearray(900_000_000)\n"
        "    except InputError as error: print(error)\n"
        "print(len(bytearray(900_000_000)))\n"
    )
    child, line, length = python(code).stdout.splitlines()
    assert "MemoryError" in child
    assert line == "this needs more memory than --max-memory 800M allows; allow more, or try less"
    assert length == "900000000"


@linux_only
def test_a_stricter_limit_of_the_caller_stays():
    code = (
        "import resource\n"
        "from stemlight.memory import MemoryLimit\n"
        "before = (10**9, 2 * 10**9)\n"
        "resource.setrlimit(resource.RLIMIT_DATA, before)\n"
        "with MemoryLimit('4G'):\n"
        "    assert resource.getrlimit(resource.RLIMIT_DATA) == before\n"
        "assert resource.getrlimit(resource.RLIMIT_DATA) == before\n"
    )
    assert python(code).returncode == 0


def test_where_there_is_no_such_limit_it_is_wrong_usage(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(UsageError, match="--max-memory works on Linux only; leave it out"):
        MemoryLimit("1G").__enter__()


# What is a lack of memory, and what is not


@pytest.mark.parametrize(
    ("error", "is_lack"),
    [
        (MemoryError("Unable to allocate 8.00 MiB for an array"), True),
        (RuntimeError("Load model failed:std::bad_alloc"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), True),
        (OSError(12, "Cannot allocate memory"), True),
        (ImportError("x.so: failed to map segment from shared object"), True),
        (RuntimeError("can't start new thread"), True),
        (ValueError("a bug"), False),
        (InputError("cannot read bad_alloc.wav: No such file or directory"), False),
        (OSError(2, "No such file or directory", "cannot allocate memory.wav"), False),
    ],
)
def test_a_lack_of_memory_is_told_from_other_failures(error, is_lack):
    expected = WeightsError if is_lack else type(error)
    with (
        pytest.raises(expected) as raised,
        MemoryLimit("1G").named("loading", kind=WeightsError, cure="rest"),
    ):
        raise error
    assert (raised.value is error) is not is_lack


def test_errors_that_were_put_in_other_words_are_known_by_their_cause():
    error = WeightsError("the graph cannot be run")
    error.__cause__ = MemoryError()
    line = "it needs more memory than --max-memory 1G allows; allow more, or rest"
    with pytest.raises(InputError, match=line), MemoryLimit("1G").named("it", cure="rest"):
        raise error
    # Damaged files may claim what no computer has, and are told as such.
    with pytest.raises(WeightsError), MemoryLimit(None).named("it", cure="rest"):
        raise error


def test_a_lack_of_memory_without_a_limit_is_named_as_such():
    line = "^it needs more memory than there is; free some, or rest$"
    with pytest.raises(InputError, match=line), MemoryLimit(None).named("it", cure="rest"):
        raise MemoryError


def test_without_a_limit_threads_may_fail_for_other_reasons():
    with pytest.raises(RuntimeError), MemoryLimit(None).named("it", cure="rest"):
        raise RuntimeError("can't start new thread")
