"""Jobs in the database, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import inspect

from stemlight.errors import OutputError, UsageError
from stemlight.serve.database import connect
from stemlight.serve.jobs import ENDED, TRANSITIONS, NewJob, may_become
from stemlight.serve.store import Store
from stemlight.serve.tables import jobs_table

HOUR = 3600.0


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(database, clock):
    made = Store(connect(database), clock=clock)
    yield made
    made.close()


def new_job(client: str = "a" * 32) -> NewJob:
    return NewJob(id=secrets.token_hex(16), client=client, name="song", options={}, size_bytes=10)


def submit(store, client="a" * 32):
    return store.submit(new_job(client), most_queued=50, most_of_client=50)


def claim(store, worker="w"):
    return store.claim(worker, lease_seconds=10)


def finish(store, job, **result):
    return store.finish(job.lease, result, size_bytes=5, expires_seconds=HOUR)


def beat(store, job):
    return store.heartbeat(job.lease, lease_seconds=10, progress=0.5, seconds_left=3.0)


def test_jobs_are_taken_in_the_order_in_which_they_came(store, clock):
    ids = []
    for _ in range(3):
        ids.append(submit(store).id)
        clock.now += 1
    assert store.queue() == ids
    assert [claim(store).id for _ in range(3)] == ids
    assert claim(store) is None


def test_two_workers_never_take_the_same_job(store):
    ids = {submit(store).id for _ in range(20)}
    with ThreadPoolExecutor(6) as threads:
        taken = [job.id for job in threads.map(lambda _: claim(store), range(30)) if job]
    assert sorted(taken) == sorted(ids)


def test_a_result_is_accepted_once(store):
    submit(store)
    job = claim(store)
    assert finish(store, job, folder="x")
    assert not finish(store, job, folder="y")
    done = store.get(job.id)
    assert (done.state, done.progress, done.result) == ("done", 1.0, {"folder": "x"})


def test_a_job_whose_worker_is_not_heard_of_is_taken_by_another_and_the_first_one_has_no_say(
    store, clock
):
    submit(store)
    first = claim(store)
    clock.now += 5
    assert beat(store, first)
    clock.now += 9
    assert claim(store) is None
    clock.now += 2
    second = claim(store)
    assert second.id == first.id
    assert not beat(store, first)
    assert not finish(store, first, folder="x")
    assert not store.fail(first.lease, "no", expires_seconds=HOUR)
    assert finish(store, second, folder="y")


def test_a_crashed_worker_gives_its_job_back_and_a_job_that_crashes_three_workers_fails(store):
    job = submit(store)
    for n_crashes in (1, 2, 3):
        assert claim(store).id == job.id
        store.give_back("w", crashed=True, most_crashes=3)
        assert store.get(job.id).n_crashes == n_crashes
    failed = store.get(job.id)
    assert failed.state == "failed"
    assert failed.message == "its worker crashed 3 times; the song may be damaged"


def test_ending_the_server_is_not_a_crash_of_its_jobs(store):
    job = submit(store)
    for _ in range(5):
        claim(store)
        assert store.give_back("w", crashed=False, most_crashes=3) == 1
    assert (store.get(job.id).state, store.get(job.id).n_crashes) == ("queued", 0)


def test_a_job_that_the_server_never_survives_fails_in_the_end(store, clock):
    job = submit(store)
    for _ in range(20):
        assert claim(store).id == job.id
        clock.now += 11
    assert claim(store) is None
    assert store.get(job.id).message == "the server went away 20 times during this job"


def test_cancelling_ends_a_waiting_job_at_once_and_a_running_one_through_its_worker(store):
    waiting = submit(store)
    assert store.cancel(waiting.id)
    assert store.get(waiting.id).state == "cancelled"
    running = submit(store)
    job = claim(store)
    assert store.cancel(running.id)
    assert not beat(store, job)
    assert not finish(store, job, folder="x")
    assert store.confirm_cancel(job.lease, expires_seconds=HOUR)
    assert store.get(running.id).state == "cancelled"
    assert not store.cancel(running.id)


def test_a_job_whose_cancelling_worker_dies_is_cancelled(store, clock):
    job = submit(store)
    claim(store)
    store.cancel(job.id)
    clock.now += 11
    assert claim(store) is None
    assert store.get(job.id).state == "cancelled"


def test_a_deleted_job_cannot_be_finished(store):
    submit(store)
    job = claim(store)
    assert store.delete(job.id)
    assert not beat(store, job)
    assert not finish(store, job, folder="x")
    assert store.get(job.id) is None


def test_results_expire_and_are_forgotten_later(store, clock):
    submit(store)
    job = claim(store)
    finish(store, job, folder="x")
    assert store.used_bytes() == 5
    clock.now += HOUR + 1
    assert store.expire(ended_seconds=HOUR, kept_seconds=HOUR) == [job.id]
    assert (store.get(job.id).state, store.get(job.id).result) == ("expired", {})
    assert store.used_bytes() == 0
    assert store.ids() == set()
    clock.now += HOUR + 1
    store.expire(ended_seconds=HOUR, kept_seconds=HOUR)
    assert store.get(job.id) is None


def test_the_queue_and_each_client_have_their_limits_even_if_all_come_at_once(store):
    def one(index):
        client = f"{index % 2:032d}"
        return store.submit(new_job(client), most_queued=7, most_of_client=4)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(one, range(24)))
    refused = [answer for answer in answers if isinstance(answer, tuple)]
    assert len(refused) == 17
    assert set(refused) <= {("queue_full", 7), ("too_many_jobs", 4)}


def test_every_state_is_reached_from_the_table_and_the_last_ones_lead_only_to_expiry():
    for state in ("running", "done", "failed", "cancelled", "expired"):
        assert may_become(state)
    assert all(set(TRANSITIONS[state]) <= {"expired"} for state in ENDED)


def test_migrations_make_the_tables_that_the_program_uses_and_may_run_again(database):
    connect(database).dispose()
    engine = connect(database)
    made = {column["name"]: column for column in inspect(engine).get_columns("jobs")}
    engine.dispose()
    assert set(made) == {column.name for column in jobs_table.columns}
    assert all(made[c.name]["nullable"] == c.nullable for c in jobs_table.columns)


def test_servers_that_start_at_once_migrate_once(database):
    with ThreadPoolExecutor(4) as threads:
        engines = list(threads.map(lambda _: connect(database), range(4)))
    assert all(inspect(engine).has_table("jobs") for engine in engines)
    for engine in engines:
        engine.dispose()


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("mysql://x/y", "jobs are kept in sqlite or postgresql, not in 'mysql'"),
        ("nonsense", "'nonsense' is no URL of a database"),
        ("sqlite://", "workers cannot share a database in memory"),
    ],
)
def test_other_databases_are_refused_in_one_line(url, line):
    with pytest.raises(UsageError, match=line):
        connect(url)


def test_a_database_that_is_away_is_told_in_one_line():
    with pytest.raises(OutputError, match="cannot reach the database of jobs") as caught:
        connect("postgresql://nobody@127.0.0.1:9/none")
    assert "\n" not in str(caught.value)
