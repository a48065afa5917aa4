"""How the commands speak: progress on a terminal, plain lines elsewhere, our errors without a traceback."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from pipelines.warehouse import Home

HomeOption = Annotated[
    Path, typer.Option("--home", envvar="RESTAGE_HOME", help="Folder that holds everything of the study at run time.")
]
DEFAULT_HOME = Path("study-home")
WaitOption = Annotated[
    float | None,
    typer.Option("--wait", metavar="SECONDS", min=0, help="Wait at most so long for another run; else to its end."),
]


def home_of(path: Path, as_of: str | None = None) -> Home:
    return Home(path.resolve(), as_of)


def alone(home: Home, wait: float | None = None) -> AbstractContextManager[None]:
    """Hold the home for what this command does, and say so while another run has to be waited for."""
    from pipelines.lock import at_work

    return at_work(home, wait, lambda text: print(f"restage: {text}", file=sys.stderr, flush=True))


def day_of(text: str | None) -> str | None:
    """A calendar day as ISO text; raises `UsageError`."""
    from datetime import date

    from pipelines.errors import UsageError

    try:
        return date.fromisoformat(text).isoformat() if text else None
    except ValueError:
        raise UsageError(f"{text!r}: a date as YYYY-MM-DD is expected.") from None


@contextmanager
def progress(title: str) -> Iterator[Callable[[str], None]]:
    """Show what is being done: one line that changes, or one line a layer where nobody watches."""
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_terminal:
        with console.status(title) as status:
            yield lambda what: status.update(f"{title}: {what}")
        return
    told: set[str] = set()

    def line(what: str) -> None:
        part = what.split(".")[0].split(" ")[0]
        if part not in told:
            told.add(part)
            print(f"{title}: {part}", file=sys.stderr, flush=True)

    yield line
