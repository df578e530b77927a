"""The command line: reads arguments, calls the library, prints. Nothing else lives here.

Exit codes: 0 all done; 1 some inputs failed, or the work itself; 2 wrong usage; 130 Ctrl-C;
143 SIGTERM. Results go to standard output, everything else to standard error.

Modules of this package import nothing heavy before a command runs, so that `--help` is quick.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from stemlight._version import __version__
from stemlight.cli.batch import batch
from stemlight.cli.blend import blend
from stemlight.cli.comparison import compare
from stemlight.cli.console import complain
from stemlight.cli.data import data_app
from stemlight.cli.doctor import doctor
from stemlight.cli.evaluation import evaluate
from stemlight.cli.export import export
from stemlight.cli.gallery import gallery
from stemlight.cli.hub import models_app
from stemlight.cli.importing import import_files
from stemlight.cli.inspection import inspect
from stemlight.cli.models import info
from stemlight.cli.separate import SeparateCommand, separate
from stemlight.cli.serving import serve
from stemlight.cli.training import train
from stemlight.errors import ConfigError, StemlightError, UsageError

__all__ = ["app", "main"]

_FAILED, _WRONG_USAGE, _INTERRUPTED = 1, 2, 130


class _Commands(TyperGroup):
    """Turns what stemlight raises on purpose into one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (UsageError, ConfigError) as error:
            complain(str(error))
            raise typer.Exit(_WRONG_USAGE) from error
        except StemlightError as error:
            complain(str(error))
            raise typer.Exit(_FAILED) from error
        except KeyboardInterrupt as error:
            raise typer.Exit(_INTERRUPTED) from error


app = typer.Typer(
    name="stemlight",
    cls=_Commands,
    help="Separate music into its stems.",
    no_args_is_help=True,
    add_completion=False,
    # Rich takes as long to load as the rest of `--help`, and draws boxes around error lines.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(cls=SeparateCommand)(separate)
_COMMANDS = (info, doctor, evaluate, compare, train, export, blend, inspect, serve, batch, gallery)
for _command in _COMMANDS:
    app.command()(_command)
app.command("import")(import_files)
app.add_typer(models_app, name="models")
app.add_typer(data_app, name="data")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"stemlight {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line with the arguments of the process."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started us
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - for the whole process
        else:  # file names may hold bytes that are no text, and terminals may know few letters
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="stemlight")
