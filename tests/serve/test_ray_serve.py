"""The studio's songs on replicas of Ray Serve, on a cluster of this one machine."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from stemlight.errors import CancelledError, InputError
from stemlight.serve.engine import StemlightEngine
from stemlight.serve.ray_serve import APP_NAME, ReplicaOptions, build_app, open_engine
from stemlight.serve.settings import ServeSettings
from stemlight.serve.worker import Worker

from .material import local_server, write_song

IS_INSTALLED = all(importlib.util.find_spec(name) for name in ("ray", "grpc_reflection"))
pytestmark = [
    pytest.mark.skipif(not IS_INSTALLED, reason="Ray Serve: pip install 'ray[serve]'"),
    # Of Ray Serve itself.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
]

OPTIONS = {
    "model": "stemlight",
    "stems": None,
    "complement": None,
    "format": "flac",
    "bit_depth": "16",
}
MOST_SECONDS = 5.0  # of a processor; a song of two minutes takes about nine

ASK = f"""
import sys
from pathlib import Path
from stemlight.serve.ray_serve import open_engine
from stemlight.serve.settings import ServeSettings

def tell(fraction, seconds_left):
    if fraction > 0:
        print("begun", flush=True)

engine = open_engine(ServeSettings(data_folder=Path()), "auto")
engine.separate(Path(sys.argv[1]), Path(sys.argv[2]), {OPTIONS!r}, tell)
"""


@pytest.fixture(scope="module")
def cluster():
    """Ray with one replica that has the embedded model."""
    import ray
    from ray import serve

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(
            address="local",
            num_cpus=2,
            object_store_memory=200_000_000,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
        )
        try:
            serve.start(proxy_location="Disabled")
            options = ReplicaOptions(min_replicas=1, max_replicas=1)
            patch.setenv("RAY_ADDRESS", ray.get_runtime_context().gcs_address)
            serve.run(build_app(options), name=APP_NAME, route_prefix=None)
            yield
            serve.shutdown()
        finally:
            ray.shutdown()


@pytest.fixture
def engine(cluster, tmp_path):
    return open_engine(ServeSettings(data_folder=tmp_path), "auto")


def on_threads(n_threads: int, folder: Path) -> StemlightEngine:
    return StemlightEngine(ServeSettings(data_folder=folder, threads=n_threads), "auto")


def test_a_job_of_the_studio_has_the_stems_that_its_own_engine_makes(cluster, tmp_path):
    song = write_song(tmp_path / "song.wav", seconds=3.0, rate_hz=44_100)
    here = on_threads(1, tmp_path).separate(song, tmp_path / "here", OPTIONS, lambda *_: True)
    with local_server(tmp_path / "data") as studio:
        job = studio.submit(song, format="flac", bit_depth="16")
        engine = open_engine(studio.settings, "auto")
        assert Worker(studio.settings, studio.studio.store, engine).run_one()
        ended = studio.get(job["id"])
        assert ended["state"] == "done", ended["message"]
        found = studio.studio.files.folder(job["id"]).rglob("stems/*.flac")
        stems = {path.stem: path.read_bytes() for path in found}
    assert stems == {name: path.read_bytes() for name, path in here.stems.items()}


def test_the_progress_comes_while_the_song_is_separated(engine, tmp_path):
    song = write_song(tmp_path / "song.wav", seconds=30.0, rate_hz=44_100)
    told = []
    done = engine.separate(song, tmp_path / "stems", OPTIONS, lambda *now: told.append(now))
    fractions = [fraction for fraction, _ in told]
    assert len(set(fractions)) > 3
    assert fractions == sorted(fractions)
    assert done.duration_seconds == 30.0
    assert sorted(path.name for path in (tmp_path / "stems").iterdir()) == sorted(
        path.name for path in done.stems.values()
    )


def test_a_song_that_is_cancelled_stops_at_once_and_leaves_nothing(engine, tmp_path):
    song = write_song(tmp_path / "song.wav", seconds=120.0, rate_hz=44_100)
    (tmp_path / "attempt").mkdir()

    def tell(fraction, _):
        return fraction == 0.0

    before = processor_seconds()
    with pytest.raises(CancelledError):
        engine.separate(song, tmp_path / "attempt" / "stems", OPTIONS, tell)
    assert list((tmp_path / "attempt").iterdir()) == []
    separate_next(engine, tmp_path)
    assert processor_seconds() - before < MOST_SECONDS


def test_the_song_of_a_replica_that_dies_is_separated_by_another(engine, tmp_path):
    song = write_song(tmp_path / "song.wav", seconds=10.0, rate_hz=44_100)
    killed = []

    def tell(fraction, _):
        if fraction > 0 and not killed:
            (replica,) = replicas()
            replica.kill()
            killed.append(replica.pid)
        return True

    done = engine.separate(song, tmp_path / "stems", OPTIONS, tell)
    here = on_threads(1, tmp_path).separate(song, tmp_path / "here", OPTIONS, lambda *_: True)
    assert [path.read_bytes() for path in done.stems.values()] == [
        path.read_bytes() for path in here.stems.values()
    ]
    assert killed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "song.wav", "stems"]


def test_a_replica_stops_soon_when_whoever_asked_was_killed(engine, tmp_path):
    song = write_song(tmp_path / "song.wav", seconds=120.0, rate_hz=44_100)
    before = processor_seconds()
    asking = [sys.executable, "-c", ASK, str(song), str(tmp_path / "attempt" / "stems")]
    with subprocess.Popen(asking, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "begun\n"
        process.kill()
    shutil.rmtree(tmp_path / "attempt")  # as the next attempt at the job does
    separate_next(engine, tmp_path)
    assert processor_seconds() - before < MOST_SECONDS


def separate_next(engine, folder) -> None:
    """Separate a short song, which begins when the replica has let go of the last one."""
    song = write_song(folder / "short.wav", seconds=0.5, rate_hz=44_100)
    engine.separate(song, folder / "short", OPTIONS, lambda *_: True)


def processor_seconds() -> float:
    """Return what the replica has computed: unlike the time, it is not that of others' work."""
    (replica,) = replicas()
    return sum(replica.cpu_times()[:2])


def replicas() -> list[psutil.Process]:
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if process.name().startswith("ray::ServeReplica")
    ]


def test_an_error_for_the_user_comes_as_it_rose(engine, tmp_path):
    broken = tmp_path / "song.wav"
    broken.write_bytes(b"no sound")
    with pytest.raises(InputError) as there:
        engine.separate(broken, tmp_path / "there", OPTIONS, lambda *_: True)
    with pytest.raises(InputError) as here:
        on_threads(1, tmp_path).separate(broken, tmp_path / "here", OPTIONS, lambda *_: True)
    assert str(there.value) == str(here.value)
