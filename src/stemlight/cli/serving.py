"""`stemlight serve`: the page and the service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stemlight.cli.console import note, print_result, with_extra
from stemlight.errors import UsageError

__all__ = ["serve"]

_ENGINES = {
    "local": "stemlight.serve.engine:open_engine",
    "ray": "stemlight.serve.ray_serve:open_engine",
}


# Two dozen options, each one choice of the owner of a server.
def serve(
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen; 0.0.0.0 is everywhere.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free one.")] = 8765,
    data_folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Jobs and their files. [the user's data folder]"),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(metavar="URL", help="postgresql://... [SQLite in the data folder]"),
    ] = None,
    allow_folder: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Programs may name songs below it by path. Repeatable."),
    ] = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keys, one to a line; then a key is needed."),
    ] = None,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(metavar="ORIGIN", help="Pages of it may use the service. Repeatable."),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A name of this server, besides localhost. Repeatable."),
    ] = None,
    max_upload_bytes: Annotated[int, typer.Option(min=1, help="Of one song.")] = 1_000_000_000,
    max_seconds: Annotated[float, typer.Option(min=0.1, help="Longest song.")] = 7200.0,
    queue_length: Annotated[int, typer.Option(min=1, help="Jobs that may wait.")] = 100,
    jobs_per_client: Annotated[
        int, typer.Option(min=1, help="Jobs of one client that may wait or run.")
    ] = 20,
    expire_hours: Annotated[
        float, typer.Option(min=0.001, help="Results are removed so long after their job.")
    ] = 24.0,
    quota_bytes: Annotated[int, typer.Option(min=1, help="Of all files.")] = 50_000_000_000,
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="Worker processes on each device.")
    ] = 1,
    device: Annotated[
        list[str] | None,
        typer.Option(metavar="auto|cpu|cuda|mps", help="Repeatable. [auto]"),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME|PATH", help="Repeatable; the first is the default. [stemlight]"),
    ] = None,
    max_memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Private memory of each worker, for example 2G; songs that need more fail. "
            "Linux only.",
        ),
    ] = None,
    threads: Annotated[
        int, typer.Option(metavar="N", min=0, max=1024, help="Of each worker; 0 takes all cores.")
    ] = 0,
    engine: Annotated[
        str,
        typer.Option(
            metavar="local|ray", help="Where songs are separated: here, or by Ray Serve's replicas."
        ),
    ] = "local",
    open_browser: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in a browser.")
    ] = True,
) -> None:
    """Serve the page for people and the service for programs, until Ctrl-C.

    Jobs and their results survive the server: started again, it goes on where it was.
    """
    with with_extra("serve", "stemlight serve"):
        from stemlight.serve.running import run_server
        from stemlight.serve.security import read_keys
        from stemlight.serve.settings import ServeSettings
    if engine not in _ENGINES:
        raise UsageError(f"--engine must be one of {', '.join(_ENGINES)}, not {engine!r}")
    if engine == "ray":
        with with_extra("serve-ray", "--engine ray"):
            import ray  # noqa: F401
    if data_folder is None:
        from platformdirs import user_data_path

        data_folder = user_data_path("stemlight") / "serve"
    for folder in allow_folder or ():
        if not folder.is_dir():
            raise UsageError(f"--allow-folder {folder} is no folder; make it first")
    settings = ServeSettings(
        data_folder=data_folder.absolute(),
        database=database,
        host=host,
        port=port,
        allow_folders=tuple(folder.absolute() for folder in allow_folder or ()),
        api_keys=() if api_key_file is None else read_keys(api_key_file),
        cors_origins=tuple(cors_origin or ()),
        allowed_hosts=tuple(name.lower() for name in allowed_host or ()),
        max_upload_bytes=max_upload_bytes,
        max_seconds=max_seconds,
        queue_length=queue_length,
        jobs_per_client=jobs_per_client,
        expire_hours=expire_hours,
        quota_bytes=quota_bytes,
        devices=tuple(device or ("auto",)) * workers,
        models=tuple(model or ("stemlight",)),
        max_memory=max_memory,
        threads=threads,
        engine=_ENGINES[engine],
    )
    if host not in ("127.0.0.1", "localhost", "::1") and not settings.api_keys:
        note(f"everybody who reaches {host} may use this server; --api-key-file asks for keys")
    run_server(settings, opens_browser=open_browser, announce=_announce)


def _announce(address: str) -> None:
    print_result(f"stemlight serves {address}")
