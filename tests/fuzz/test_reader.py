"""Damaged and lying files: sound or one line, in bounded time and memory, and the process lives."""

from __future__ import annotations

import pytest

from . import batches
from .batches import WORKER, run_batch
from .lies import lying_files
from .mutations import mutate
from .seeds import SUFFIXES, valid_files

N_RANDOM_FILES = 1200
"""Of all formats together; `python -m bench.fuzz` reads as many as one has time for."""

N_LIES = 1099
SEED = 0
MOST_SECONDS = 300  # of wall time, on a machine that has other work, too


def test_all_formats_are_damaged_and_the_same_way_in_every_run():
    files = valid_files()
    assert files == valid_files()
    assert set(files) == set(SUFFIXES)
    once = [mutate(files, SEED, number) for number in range(2 * len(files))]
    assert once == [mutate(files, SEED, number) for number in range(2 * len(files))]
    assert {name for name, _ in once} == set(files)
    n_changed = sum(content != files[name] for name, content in once)
    assert n_changed > 0.9 * len(once)
    assert sum(1 for _ in lying_files(files)) == N_LIES


@pytest.mark.parametrize("first", range(0, N_RANDOM_FILES, N_RANDOM_FILES // 2))
def test_a_file_with_random_damage_gives_sound_or_one_line(tmp_path, first):
    last = first + N_RANDOM_FILES // 2
    batch = run_batch(SEED, first, last, tmp_path / "batch", MOST_SECONDS)
    assert not batch.findings, "\n".join(map(str, batch.findings))
    assert batch.n_files == last - first


def test_a_file_that_lies_gives_sound_or_one_line(tmp_path):
    batch = run_batch("lies", 0, N_LIES, tmp_path / "batch", MOST_SECONDS)
    assert not batch.findings, "\n".join(map(str, batch.findings))
    assert batch.n_files == N_LIES


# The watchman wakes up


@pytest.mark.parametrize(
    ("sabotage", "told"),
    [
        ("os.kill(os.getpid(), 11)", "died of SIGSEGV"),
        ("raise KeyError('x')", "builtins.KeyError: 'x'"),
        ("print('hello', flush=True); raise worker.InputError('x')", "printed b'hello"),
        ("raise worker.InputError('two\\nlines')", "a message that is not one plain line"),
        ("len(b'x' * 400_000_000); raise worker.InputError('x')", "MB more than before"),
        ("bytearray(4_000_000_000)", "builtins.MemoryError"),
        ("sum(range(10**8))", "s of work"),
        ("worker.time.sleep(60)", "ended with 1\nTimeout"),
    ],
)
def test_every_broken_promise_is_found_and_names_its_file(tmp_path, monkeypatch, sabotage, told):
    script = tmp_path / "sabotaged.py"
    folder = str(WORKER.parent)
    script.write_text(
        f"import os, sys\nsys.path.insert(0, {folder!r})\nimport worker\n"
        f"worker.HANG_SECONDS = {2 if 'sleep' in sabotage else 60}\n"
        "worker.MOST_CPU_SECONDS = 0.5\n"
        f"def broken(*_, **__):\n    {sabotage}\n"
        "worker.open_audio = broken\n"
        "worker.main(worker.Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))\n"
    )
    monkeypatch.setattr(batches, "WORKER", script)
    batch = run_batch(SEED, 5, 6, tmp_path / "batch", MOST_SECONDS)
    texts = [str(finding) for finding in batch.findings]
    assert any(told in text for text in texts), texts
    name, content = mutate(valid_files(), SEED, 5)
    assert {finding.content for finding in batch.findings} == {content}
    assert texts[0].startswith(f"{name}, seed {SEED}, number 5: ")
