"""`stemlight gallery`: songs in, a page that plays them and their stems out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stemlight.cli.console import complain, print_result
from stemlight.cli.inputs import plan_jobs
from stemlight.errors import InputError

__all__ = ["gallery"]

_FAILED = 1


# Eight options, each one choice of its own.
def gallery(
    tracks: Annotated[
        list[str],
        typer.Argument(
            metavar="TRACK...", help="Sound files, or folders of them.", show_default=False
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="The page's folder.")
    ],
    title: Annotated[str, typer.Option(help="The page's title.")] = "Separated songs",
    start: Annotated[
        float, typer.Option(metavar="SECONDS", help="Where the excerpts start.")
    ] = 0.0,
    seconds: Annotated[
        float, typer.Option(metavar="SECONDS", help="Length of the excerpts; 0 is all of the rest.")
    ] = 30.0,
    model: Annotated[str, typer.Option(metavar="NAME|PATH")] = "stemlight",
    stems: Annotated[
        str | None, typer.Option(metavar="NAME,NAME...", help="Which stems. [all of the model]")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a page that is there.")] = False,
) -> None:
    """Make a page of tracks by original, vocals, drums, bass and other, for any web host.

    Everything that the page needs is in its folder; it has no scripts.
    """
    from stemlight.api import load
    from stemlight.gallery import Excerpt, GalleryTrack, add_track, check_gallery_folder, write_page

    excerpt = Excerpt(start_seconds=start, seconds=seconds or None)
    check_gallery_folder(output, overwrite=overwrite)
    separator = load(model)
    sources = None if stems is None else [name.strip() for name in stems.split(",")]
    plan = plan_jobs(tracks, output)
    for name, reason in plan.refusals:
        complain(f"{name} {reason}")
    rows: list[GalleryTrack] = []
    n_failed = len(plan.refusals)
    for job in plan.jobs:
        try:
            if job.song is None:
                raise InputError("a gallery is made of files; save standard input as one first")
            row = add_track(
                job.song,
                output,
                number=len(rows) + 1,
                separate=lambda song: separator(song, sources=sources),
                excerpt=excerpt,
            )
        except InputError as error:
            complain(str(error))
            n_failed += 1
        else:
            rows.append(row)
    if rows:
        about = f"Separated by the model {Path(model).name}."
        print_result(str(write_page(rows, output, title=title, about=about)))
    if n_failed:
        raise typer.Exit(_FAILED)
