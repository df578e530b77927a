"""Songs, a worker that dies of one, and a server of S3."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemlight.batch import Item, ModelChoice, SeparateTrack, Store

REPOSITORY = Path(__file__).resolve().parents[2]
RATE_HZ = 44_100
STEMS = ("vocals", "drums", "bass", "other")


@dataclass(frozen=True)
class PoisonedTrack:
    """Separates tracks; one with `poison` in its path kills the worker in the midst of writing."""

    work: SeparateTrack

    def __call__(self):
        separate = self.work()

        def do(item: Item):
            if "poison" in item.path:
                with self.work.store.workspace() as folder:
                    (folder / "vocals.wav").write_bytes(b"half")
                    os.kill(os.getpid(), signal.SIGKILL)
            return separate(item)

        return do


def write_song(path: Path, seed: int = 0, seconds: float = 0.25) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, (round(seconds * RATE_HZ), 2))
    soundfile.write(path, noise, RATE_HZ, subtype="PCM_16")
    return path


def contents(root: Path) -> dict[str, bytes]:
    """All files below a folder, hidden ones, too."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if not path.is_dir()
    }


def check_results(root: Path) -> dict[str, dict[str, bytes]]:
    """Return the files of each result by the sha256 of its input; fail if one is not whole."""
    found = {}
    for folder in sorted((root / "results").glob("*/*")):
        files = contents(folder)
        result = json.loads(files["result.json"])
        assert files.keys() == {*result["files"], "result.json"}
        for name, mark in result["files"].items():
            assert len(files[name]) == mark["n_bytes"]
            assert hashlib.sha256(files[name]).hexdigest() == mark["sha256"]
        assert result["input_sha256"] not in found, "two results of one track"
        found[result["input_sha256"]] = files
    return found


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def work_on(store: Store | str, model: Path, **changes) -> SeparateTrack:
    store = store if isinstance(store, Store) else Store(store)
    return SeparateTrack(store=store, choice=ModelChoice(model=str(model)), **changes)


@contextlib.contextmanager
def s3_server() -> Iterator[str]:
    """Start a server of S3 that the environment names; give the URL of a bucket."""
    boto3 = pytest.importorskip("boto3", reason="boto3 is not installed")
    moto = pytest.importorskip("moto.server", reason="moto is not installed")
    import fsspec

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "someone")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        boto3.client("s3").create_bucket(Bucket="catalogue")
        try:
            yield "s3://catalogue"
        finally:
            fsspec.filesystem("s3").clear_instance_cache()
            server.stop()
