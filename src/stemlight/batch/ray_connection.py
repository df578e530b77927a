"""Starts Ray on this machine, or joins the cluster that an address names."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import socket
import threading
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from stemlight.errors import MissingExtraError, OutputError, UsageError

__all__ = ["connected"]

_log = logging.getLogger(__name__)

_ADDRESS_VARIABLE = "RAY_ADDRESS"  # set for programs that are submitted to a cluster
_USAGE_VARIABLE = "RAY_USAGE_STATS_ENABLED"
_CLIENT_SCHEME = "ray://"
_KNOCK_SECONDS = 10.0
_STORE_BYTES = 200_000_000  # tasks and results are short; music travels through files


@contextlib.contextmanager
def connected(address: str | None, n_cpus: float, n_gpus: float = 0.0) -> Iterator[Any]:
    """Give the module `ray`, connected; who connected first disconnects at the end.

    Without an address, and without RAY_ADDRESS in the environment, Ray is started on this machine
    for so many CPUs, however many there are, and stopped again; so many GPUs must be there.

    Raises:
        MissingExtraError: Ray is not installed.
        UsageError: there is no Ray at the address, or this machine lacks GPUs.
        OutputError: Ray cannot be started here.
    """
    ray = _imported()
    if ray.is_initialized():
        yield ray
        return
    address = address or os.environ.get(_ADDRESS_VARIABLE)
    with _kept_handlers():
        if address is None:
            _start(ray, n_cpus)
        else:
            _join(ray, address)
    try:
        if address is None:
            _check_gpus(ray, n_gpus)
        with _quiet(ray):
            yield ray
    finally:
        ray.shutdown()


def _imported() -> Any:
    try:
        return import_module("ray")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"working on Ray needs {error.name}, which is not installed; "
            "run: pip install 'stemlight[scale]'"
        ) from error


def _start(ray: Any, n_cpus: float) -> None:
    before = os.environ.get(_USAGE_VARIABLE)
    os.environ.setdefault(_USAGE_VARIABLE, "0")  # or Ray reports to its makers
    try:
        ray.init(
            address="local",
            num_cpus=math.ceil(n_cpus),
            object_store_memory=_STORE_BYTES,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except Exception as error:  # Ray raises no more special ones
        raise OutputError(f"Ray could not be started here: {_in_one_line(error)}") from error
    finally:
        if before is None:
            os.environ.pop(_USAGE_VARIABLE, None)


def _check_gpus(ray: Any, n_gpus: float) -> None:
    """Refuse what would wait for ever; a cluster may grow GPUs later."""
    n_there = ray.cluster_resources().get("GPU", 0.0)
    if n_there < n_gpus:
        raise UsageError(
            f"each worker takes {n_gpus:g} GPUs but Ray finds {n_there:g} on this machine; work "
            "without, or name a cluster's address"
        )


def _join(ray: Any, address: str) -> None:
    try:
        if address != "auto":
            _knock(address.removeprefix(_CLIENT_SCHEME))
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise UsageError(
            f"no Ray cluster answers at {address} ({_in_one_line(error)}); give the HOST:PORT that "
            "`ray start --head` prints, or no address to start Ray on this machine"
        ) from error


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _knock(address: str) -> None:
    """Ask whether anybody listens there: Ray itself would ask for minutes."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        raise ValueError("that is no HOST:PORT")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_SECONDS):
        pass


@contextlib.contextmanager
def _quiet(ray: Any) -> Iterator[None]:
    """Log what Ray would print on standard output, among results, when a worker dies."""
    worker = ray._private.worker
    before = worker.print_to_stdstream

    def log(batch: dict[str, Any], *rest: Any, **options: Any) -> None:
        _log.info("Ray: %s", " ".join(batch["lines"]))

    worker.print_to_stdstream = log
    try:
        yield
    finally:
        worker.print_to_stdstream = before


@contextlib.contextmanager
def _kept_handlers() -> Iterator[None]:
    """Leave SIGTERM to whoever handles it: Ray puts a handler of its own in the place."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():  # elsewhere Ray puts none
            signal.signal(signal.SIGTERM, before)
