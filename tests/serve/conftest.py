"""Servers, songs, and databases of both kinds."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from .material import local_server, write_song


@pytest.fixture
def song(tmp_path) -> Path:
    """Half a second of noise."""
    return write_song(tmp_path / "noise.wav")


@pytest.fixture
def local(tmp_path):
    """A server in this process, with the fast engine."""
    with local_server(tmp_path / "data") as server:
        yield server


@pytest.fixture(scope="session")
def postgres():
    """Start a PostgreSQL of the tests' own; give what makes an empty database and its URL."""
    tools = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr/local/bin").glob("initdb")]
    folders = [path if path.is_dir() else path.parent for path in tools]
    tool = next((folder for folder in folders if (folder / "initdb").exists()), None)
    if tool is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    owner = None
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        owner = next(n for n in ("postgres", "nobody") if n in {u.pw_name for u in pwd.getpwall()})
    folder = Path(tempfile.mkdtemp(prefix="stemlight-postgres-"))
    if owner is not None:
        shutil.chown(folder, owner)

    def call(*command: object) -> None:
        words = [str(tool / str(command[0])), *map(str, command[1:])]
        with (folder.parent / f"{folder.name}.log").open("ab") as log:
            subprocess.run(words, check=True, user=owner, stdout=log, stderr=log, cwd="/")

    data = folder / "data"
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
    call("initdb", "--auth=trust", "--username=tests", "--no-sync", "--pgdata", data)
    call("pg_ctl", "--pgdata", data, "--wait", "--options", options, "start")
    n_made = 0

    def make_database() -> str:
        nonlocal n_made
        n_made += 1
        call("createdb", "--host", folder, "--username=tests", f"jobs{n_made}")
        return f"postgresql://tests@/jobs{n_made}?host={folder}"

    yield make_database
    call("pg_ctl", "--pgdata", data, "--mode=immediate", "stop")
    shutil.rmtree(folder)
    (folder.parent / f"{folder.name}.log").unlink()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path) -> str:
    """The URL of an empty database, of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    return request.getfixturevalue("postgres")()
