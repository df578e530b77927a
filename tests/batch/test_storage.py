"""A store has whole results or none, finds them by what the work was, and clears up."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemlight.batch import Store, StoredResult
from stemlight.batch.storage import RESULT_FILE, describe_files
from stemlight.errors import MissingExtraError, OutputError, UsageError
from stemlight.separation.resume import hash_work

from .deeds import wait_until
from .material import contents

KEY = "ab" + 62 * "0"


def make_result(folder: Path, content: bytes = b"sound") -> StoredResult:
    folder.mkdir()
    for name in ("vocals.wav", "drums.wav"):
        (folder / name).write_bytes(content + name.encode())
    return StoredResult(
        input_sha256=64 * "1",
        model=64 * "2",
        options={"format": "wav", "stems": ["vocals", "drums"], "bit_rate_kbps": None},
        sample_rate_hz=44_100,
        n_channels=2,
        duration_seconds=1.5,
        gain_db=-0.25,
        files=describe_files(folder),
    )


def put(store: Store, key: str = KEY, content: bytes = b"sound") -> StoredResult:
    with store.workspace() as space:
        result = make_result(space / "track", content)
        store.place(key, space / "track", result)
    return result


def stored(store: Store) -> dict[str, bytes]:
    """All files of a store, wherever it is."""
    if "://" not in store.url:
        return contents(Path(store.url))
    import fsspec

    files = fsspec.filesystem("s3", use_listings_cache=False)
    root = store.url.removeprefix("s3://")
    return {name.removeprefix(f"{root}/"): files.cat_file(name) for name in files.find(root)}


def test_what_was_placed_is_found_and_nothing_else_is_there(place):
    store = Store(place)
    store.check()
    assert store.find(KEY) is None
    result = put(store)
    assert store.find(KEY) == result
    assert sorted(stored(store)) == [
        f"results/ab/{KEY}/{name}" for name in ("drums.wav", "result.json", "vocals.wav")
    ]


def test_the_same_result_is_the_same_bytes_and_may_come_twice(place):
    store = Store(place)
    put(store)
    before = stored(store)
    put(store)
    assert stored(store) == before


def test_the_first_of_two_workers_is_kept_whole(place):
    store = Store(place)
    first = put(store)
    put(store, content=b"other")
    assert store.find(KEY) == first
    assert stored(store)[f"results/ab/{KEY}/vocals.wav"] == b"soundvocals.wav"


def test_files_without_a_record_are_no_result_and_are_replaced(place):
    store = Store(place)
    put(store, content=b"old")
    store._files().remove(f"results/ab/{KEY}/{RESULT_FILE}")
    assert store.find(KEY) is None
    result = put(store)
    assert store.find(KEY) == result
    assert stored(store)[f"results/ab/{KEY}/vocals.wav"] == b"soundvocals.wav"


@pytest.mark.parametrize("harm", [b"", b"[]", b"{}", b"\xff", b'{"format": 99}'])
def test_a_record_that_cannot_be_understood_is_none(tmp_path, harm):
    store = Store(str(tmp_path))
    put(store)
    (tmp_path / "results" / "ab" / KEY / RESULT_FILE).write_bytes(harm)
    assert store.find(KEY) is None


def test_a_record_of_another_format_is_none(tmp_path):
    store = Store(str(tmp_path))
    put(store)
    path = tmp_path / "results" / "ab" / KEY / RESULT_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2}))
    assert store.find(KEY) is None


def test_content_is_remembered_by_its_mark(place):
    store = Store(place)
    assert store.content_of(64 * "3") is None
    for sha256 in (64 * "4", 64 * "5"):
        store.remember(64 * "3", sha256)
        assert store.content_of(64 * "3") == sha256
    assert list(stored(store)) == [f"seen/33/{64 * '3'}"]


def test_a_report_gets_its_place_under_its_name(place, tmp_path):
    (tmp_path / "today.json").write_text("{}")
    assert Store(place).put_report(tmp_path / "today.json") == f"{place}/reports/today.json"
    assert stored(Store(place)) == {"reports/today.json": b"{}"}


def test_what_fails_leaves_nothing(place):
    store = Store(place)

    def fail():
        with store.workspace() as space:
            (space / "half.wav").write_bytes(b"half")
            spaces.append(space)
            raise ZeroDivisionError

    spaces: list[Path] = []
    with pytest.raises(ZeroDivisionError):
        fail()
    assert not spaces[0].exists()
    assert stored(store) == {}


def work_for_ever(url, said):
    with Store(url).workspace() as space:
        (space / "half.wav").write_bytes(b"half")
        said.send(str(space))
        said.recv()


def test_left_overs_of_killed_processes_go_and_those_of_living_ones_stay(place):
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(2)]
    processes = [context.Process(target=work_for_ever, args=(place, pipe[1])) for pipe in pipes]
    for process in processes:
        process.start()
    dead, alive = (Path(pipe[0].recv()) for pipe in pipes)
    try:
        os.kill(processes[0].pid, signal.SIGKILL)
        processes[0].join()
        assert (dead / "half.wav").exists()
        Store(place).remove_left_overs()
        assert not dead.exists()
        assert (alive / "half.wav").exists()
    finally:
        processes[1].kill()
        processes[1].join()
    Store(place).remove_left_overs()
    wait_until(lambda: not alive.exists(), seconds=1)


def test_where_nothing_can_be_written_it_is_said_before_any_work(tmp_path, s3):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot write to .*/file/out: Not a directory; make it"):
        Store(f"{tmp_path}/file/out").check()
    with pytest.raises(UsageError, match=r"cannot write to s3://no-such-bucket/out: .*bucket"):
        Store("s3://no-such-bucket/out").check()
    with pytest.raises(UsageError, match=r"nowhere://x is no place that can be opened"):
        Store("nowhere://x").check()


def test_a_report_that_cannot_be_written_is_told(tmp_path, s3):
    (tmp_path / "today.json").write_text("{}")
    with pytest.raises(OutputError, match=r"cannot write a report to s3://no-such-bucket: "):
        Store("s3://no-such-bucket").put_report(tmp_path / "today.json")


def test_a_missing_package_is_named_before_any_work(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gcsfs", None)
    with pytest.raises(MissingExtraError, match=r"gs:// needs a package of its own .*gcsfs"):
        Store("gs://bucket").check()


words = st.text("0123456789abcdef", min_size=1, max_size=4)
orders = st.dictionaries(words, st.none() | st.booleans() | st.integers() | words, max_size=3)


@given(works=st.lists(st.tuples(words, words, orders), min_size=2, max_size=2))
def test_a_key_is_that_of_another_work_exactly_if_the_work_is_the_same(works):
    (song, model, options), other = works
    again = dict(reversed(options.items()))
    assert hash_work(song, model, options) == hash_work(song, model, again)
    same = json.dumps(works[0], sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (hash_work(song, model, options) == hash_work(*other)) == same
