"""A worker and what may happen to its job meanwhile."""

from __future__ import annotations

import dataclasses
import time

import pytest
from bench.fake_engine import FakeEngine

from stemlight.serve.worker import Worker

from .material import API


class Meddled(FakeEngine):
    """Does something else in the middle of the work."""

    def __init__(self, meddle):
        self._meddle = meddle

    def separate(self, song, folder, options, tell):
        done = super().separate(song, folder, options, tell)
        self._meddle()
        return done


def work(local, meddle, **changes):
    settings = dataclasses.replace(local.settings, **changes)
    return Worker(settings, local.studio.store, Meddled(meddle)).run_one()


def test_a_job_that_is_deleted_while_it_runs_leaves_no_file(local, song):
    job = local.submit(song)
    assert work(local, lambda: local.client.delete(f"{API}/jobs/{job['id']}"))
    local.studio.janitor.sweep()
    assert local.studio.files.stored_ids() == []


def test_a_job_that_is_cancelled_at_the_last_moment_has_no_result(local, song):
    job = local.submit(song)
    assert work(local, lambda: local.client.post(f"{API}/jobs/{job['id']}/cancel"))
    cancelled = local.get(job["id"])
    assert (cancelled["state"], cancelled["stems"]) == ("cancelled", [])
    folder = local.studio.files.folder(job["id"])
    assert [path.name for path in folder.iterdir()] == ["song"]


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        (MemoryError(), "the server has not enough memory for this song"),
        (OSError(28, "No space left on device"), "the server could not write the stems: No space"),
        (ValueError("/secret/path"), "ValueError (this is a bug in stemlight: report it)"),
    ],
)
def test_whatever_happens_the_job_ends_with_a_line_and_the_next_one_begins(
    local, song, fault, line
):
    job = local.submit(song)

    def fail():
        raise fault

    assert work(local, fail)
    failed = local.get(job["id"])
    assert failed["state"] == "failed"
    assert failed["message"].startswith(line)
    assert "/secret" not in failed["message"]
    assert local.done(song)["state"] == "done"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_worker_whose_job_advances_no_more_ends_itself(local, song, monkeypatch):
    ended = []

    def end(code):
        ended.append(code)
        raise SystemExit

    monkeypatch.setattr("stemlight.serve.worker.os._exit", end)
    local.submit(song)
    work(local, lambda: time.sleep(0.5), stall_seconds=0.2, lease_seconds=0.4)
    assert ended == [4]


def test_the_time_left_grows_while_nothing_is_done_whatever_the_engine_says(local, song):
    class Reads(FakeEngine):
        def separate(self, song, folder, options, tell):
            tell(0.2, 0.1)  # what it read, at once
            time.sleep(2.0)
            seen.append(local.get(job["id"])["seconds_left"])
            return super().separate(song, folder, options, tell)

    seen = []
    job = local.submit(song)
    assert Worker(local.settings, local.studio.store, Reads()).run_one()
    assert 4.0 < seen[0] < 12.0


def test_the_lease_of_a_slow_job_is_renewed(local, song):
    local.submit(song)

    def wait():
        time.sleep(2.5)
        assert local.studio.store.claim("another", lease_seconds=1) is None

    work(local, wait, lease_seconds=2.0)
    (job,) = local.client.get(f"{API}/jobs").json()
    assert job["state"] == "done"
