"""The command `restage`: one file a command; here are only their list and the way errors end."""

import sys
from typing import Annotated

import typer

from pipelines.cli.accept import accept
from pipelines.cli.backup import backup, restore
from pipelines.cli.centre import app as centre
from pipelines.cli.console import ours
from pipelines.cli.demo import demo
from pipelines.cli.doctor import doctor
from pipelines.cli.freeze import freeze
from pipelines.cli.rebuild import rebuild
from pipelines.cli.recist import recist
from pipelines.cli.run import run
from pipelines.cli.send import send
from pipelines.cli.simulate import simulate
from pipelines.cli.status import open_reports, status
from pipelines.cli.survival import survival
from pipelines.cli.trace import trace
from pipelines.cli.ui import ui
from pipelines.cli.watch import watch
from pipelines.cli.withdraw import withdraw

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they show locals, which may hold a patient's values
)
commands = (
    run, demo, status, trace, accept, send, rebuild, withdraw, freeze, backup, restore, doctor, simulate, recist,
    survival, watch, ui,
)  # fmt: skip
for command in commands:
    app.command()(command)
app.command("open")(open_reports)
app.add_typer(centre, name="centre")


def _tell_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        from pipelines.orchestration.plan import code_version

        print(f"restage {version('restage')}, code {code_version()}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_tell_version, is_eager=True, help="Version, and the code that a freeze cites."
        ),
    ] = False,
) -> None:
    """Raw exports of oncology and radiotherapy units in; endpoints, tables and data-quality reports out."""


def main() -> None:
    """Exit codes: 0 all well, 1 a fault of ours, 2 wrong usage, 3 a delivery was rejected in this run."""
    try:
        app()
    except Exception as error:
        plain = ours(error)
        if plain is None:
            raise
        print(f"restage: {plain}", file=sys.stderr)
        sys.exit(plain.exit_code)
