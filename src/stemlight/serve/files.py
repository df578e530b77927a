"""A folder for each job, named by its random id; what users call things is never part of a path.

data/incoming/<id>            an upload while it comes
data/jobs/<id>/song           the upload
data/jobs/<id>/<lease>/...    what one start of the job writes; the job's row names the one that
                              counts, in the transaction that makes the job done
data/jobs/<id>/made/<random>  a folder for what is made of a result on demand, then renamed
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from stemlight.errors import OutputError

__all__ = ["JOB_ID", "JobFiles", "folder_bytes"]

JOB_ID = re.compile(r"[0-9a-f]{32}")

_SONG = "song"


class JobFiles:
    """All folders of a server."""

    def __init__(self, data_folder: Path) -> None:
        self._data_folder = data_folder
        self._jobs = data_folder / "jobs"
        self._incoming = data_folder / "incoming"

    def prepare(self) -> None:
        """Make the folders, for this user alone.

        Raises:
            OutputError: they cannot be made.
        """
        try:
            for folder in (self._data_folder, self._jobs, self._incoming):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"cannot make {self._data_folder}: {error.strerror}; choose another --data-folder"
            ) from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other servers out of the data folder, for as long as this process lives.

        Raises:
            OutputError: another server has it.
        """
        path = self._data_folder / "lock"
        with path.open("a") as file:
            try:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except ImportError:  # no such locks on Windows
                pass
            except OSError as error:
                raise OutputError(
                    f"another server uses {self._data_folder}; end it, or choose another "
                    "--data-folder"
                ) from error
            yield

    def incoming(self, job_id: str) -> Path:
        """Return where an upload is written."""
        return self._incoming / _checked(job_id)

    def accept(self, job_id: str) -> None:
        """Make a finished upload the song of its job."""
        folder = self.folder(job_id)
        folder.mkdir(mode=0o700)
        self.incoming(job_id).rename(folder / _SONG)

    def folder(self, job_id: str) -> Path:
        """Return the folder of a job."""
        return self._jobs / _checked(job_id)

    def song(self, job_id: str) -> Path:
        """Return the uploaded song."""
        return self.folder(job_id) / _SONG

    def attempt(self, job_id: str, lease: str) -> Path:
        """Return the folder that one start of a job writes to."""
        return self.folder(job_id) / _checked(lease)

    def clear_attempts(self, job_id: str, *, but: str) -> None:
        """Remove what other starts of the job left."""
        with contextlib.suppress(FileNotFoundError):
            for path in list(self.folder(job_id).iterdir()):
                if path.is_dir() and path.name != but:
                    shutil.rmtree(path, ignore_errors=True)

    def remove(self, job_id: str) -> None:
        """Remove all files of a job."""
        shutil.rmtree(self.folder(job_id), ignore_errors=True)

    def stored_ids(self) -> list[str]:
        """Return the ids that have a folder or an upload."""
        return sorted(
            {
                path.name
                for folder in (self._jobs, self._incoming)
                for path in folder.iterdir()
                if JOB_ID.fullmatch(path.name)
            }
        )

    def sweep(self, found: Collection[str], known: Collection[str]) -> int:
        """Remove the files of those ids found that nobody knows; return how many."""
        orphans = set(found) - set(known)
        for job_id in orphans:
            self.incoming(job_id).unlink(missing_ok=True)
            self.remove(job_id)
        return len(orphans)

    def free_bytes(self) -> int:
        """Return how much the disk still takes."""
        return shutil.disk_usage(self._data_folder).free


def folder_bytes(folder: Path) -> int:
    """Return the size of all files below a folder; those that vanish meanwhile have none."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += (Path(place) / name).stat().st_size
    return total


def _checked(job_id: str) -> str:
    assert JOB_ID.fullmatch(job_id), "ids are made here, and checked by the routes"
    return job_id
