"""How the commands speak: progress on a terminal, plain lines elsewhere, our errors without a traceback."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.errors import DiskFull, RestageError, UsageError, disk_full, wrong_path
from pipelines.warehouse import Home

HomeOption = Annotated[
    Path, typer.Option("--home", envvar="RESTAGE_HOME", help="Folder that holds everything of the study at run time.")
]
DEFAULT_HOME = Path("study-home")
WaitOption = Annotated[
    float | None,
    typer.Option("--wait", metavar="SECONDS", min=0, help="Wait at most so long for another run; else to its end."),
]

JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON document on standard output, for machines; messages go elsewhere.")
]


def home_of(path: Path, as_of: str | None = None) -> Home:
    """The home that the user names, be it there or not; raises `UsageError` for a file."""
    home = Home(path.resolve(), as_of)
    if home.root.exists() and not home.root.is_dir():
        raise UsageError(f"{home.root}: is a file where a folder is expected.")
    return home


def study_of(path: Path) -> Home:
    """The home of a study that is there: what is written into a mistyped one would be lost. Raises `UsageError`."""
    home = home_of(path)
    if not home.root.exists():
        raise UsageError(f"{home.root}: no study here. Name its home with --home, or start with `restage demo`.")
    return home


def alone(home: Home, wait: float | None = None) -> AbstractContextManager[None]:
    """Hold the home for what this command does, and say so while another run has to be waited for."""
    from pipelines.lock import at_work

    return at_work(home, wait, lambda text: print(f"restage: {text}", file=sys.stderr, flush=True))


def day_of(text: str | None) -> str | None:
    """A calendar day as ISO text; raises `UsageError`."""
    from datetime import date

    try:
        return None if text is None else date.fromisoformat(text).isoformat()
    except ValueError:
        raise UsageError(f"{text!r}: a date as YYYY-MM-DD is expected.") from None


def ours(error: Exception) -> RestageError | None:
    """What a user can act on; Dagster wraps what stops a step or its own records. None: a fault of ours."""
    plain = DiskFull() if disk_full(error) else error
    return plain if isinstance(plain, RestageError) else wrong_path(plain)


@contextmanager
def answering(as_json: bool) -> Iterator[dict[str, Any]]:
    """Gather what a command answers. With --json that is the one document on standard output, with `exit_code`, and
    `error` where the command was not carried out; whatever else is printed goes to standard error."""
    answer: dict[str, Any] = {}
    if not as_json:
        yield answer
        return
    out = sys.stdout
    code: int | None = None
    try:
        with redirect_stdout(sys.stderr):
            yield answer
        code = 0
    except typer.Exit as end:
        code = end.exit_code
        raise
    except Exception as error:
        known = ours(error)
        code = known.exit_code if known else 1
        # the text of an error that is not ours may hold anything
        answer["error"] = str(known) if known else "a fault of ours; standard error says more"
        raise
    finally:
        if code is not None:  # nobody reads the answer of a command that was stopped
            document = {**answer, "exit_code": code}
            print(json.dumps(document, ensure_ascii=False, indent=1, default=_text), file=out, flush=True)


def _text(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


@contextmanager
def tables_of(home: Home) -> Iterator[None]:
    """Read the warehouse as it is. Tables that another version of the code made may lack what this one reads: then
    what to do is said, in place of a traceback; where all is there, that another version made them."""
    from pipelines.orchestration.plan import code_version, read_state

    state = read_state(home)
    if not state or state.get("code") == code_version():
        yield
        return
    made = "The tables were made by another version of code or protocol"
    try:
        yield
    except Exception as error:
        if ours(error):
            raise
        raise UsageError(f"{made}: `restage run --home {home.root}` makes them anew.") from error
    print(f"restage: {made}; `restage run` makes them anew.", file=sys.stderr)


@contextmanager
def progress(title: str) -> Iterator[Callable[[str], None]]:
    """Show what is being done: one line that changes, with the time it has taken, or one line a layer that is told
    where nobody watches."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if console.is_terminal:
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True, redirect_stdout=False) as line_of:
            task = line_of.add_task(title, total=None)
            yield lambda what: line_of.update(task, description=f"{title}: {what}")
        return
    told: set[str] = set()

    def line(what: str) -> None:
        part = what.split(".")[0].split(" ")[0]
        if part not in told:
            told.add(part)
            print(f"{title}: {part}", file=sys.stderr, flush=True)

    yield line
