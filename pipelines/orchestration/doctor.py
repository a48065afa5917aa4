"""What can be wrong with a home, looked for one thing after the other; each finding says what to do."""

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from shlex import quote

from pipelines import freeze
from pipelines.deliveries import denylist
from pipelines.errors import RestageError
from pipelines.lock import is_free
from pipelines.orchestration.doctor_archive import Finding, archive, clock, quoted
from pipelines.orchestration.plan import code_version, read_state
from pipelines.warehouse import Home, open_read

OWNER = "Run as the user that owns the home, or let it read and write there."
FREE_FACTOR = 2  # a run writes the warehouse anew beside the old one


def examine(home: Home, deep: bool = False) -> list[Finding]:
    """Look at everything that can be wrong; `deep` reads every archived file. Nothing is changed.

    A look that fails is a finding, too, and the others go on.
    """
    if not home.root.is_dir():
        return [Finding("home", "wrong", f"{home.root} is no folder", "Name the study's home with --home.")]
    looks: dict[str, Callable[[Home], Iterator[Finding]]] = {
        "home": _home, "inbox": _inbox, "permissions": _permissions, "disk": _disk,
        "archive": partial(archive, deep=deep), "clock": clock, "warehouse": _warehouse, "withdrawn": _withdrawn,
        "version": _versions, "leftovers": _leftovers, "runs": _runs,
    }  # fmt: skip
    found: list[Finding] = []
    for check, look in looks.items():
        try:
            found.extend(look(home))
        except RestageError as error:
            if all(f.what != str(error) for f in found):
                found.append(Finding(check, "wrong", str(error)))
        except OSError as error:
            found.append(Finding(check, "wrong", f"{error.filename}: {error.strerror}", OWNER))
        except Exception as error:  # its text may hold anything
            found.append(Finding(check, "wrong", f"could not be looked at ({type(error).__name__})", "Report this."))
    return found


def _home(home: Home) -> Iterator[Finding]:
    if not os.access(home.root, os.W_OK | os.X_OK):
        yield Finding("home", "wrong", f"{home.root} cannot be written", OWNER)
        return
    ours = [p for pattern in ("*", "*/*") for p in home.root.glob(pattern)]
    sent = {"inbox", "keys", "frozen"}  # what others put there, or nobody writes again
    foreign = [p for p in sorted(ours) if not {p.name, p.parent.name} & sent and not os.access(p, os.W_OK)]
    if foreign:
        names = [p.relative_to(home.root).as_posix() for p in foreign]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        yield Finding(
            "home", "wrong", f"{', '.join(names[:3])}{more} cannot be written: another user has run restage here",
            f"Give them to the user that runs it: sudo chown -R USER {' '.join(quote(str(p)) for p in foreign)}",
        )  # fmt: skip
    else:
        yield Finding("home", "ok", f"{home.root} can be written")


def _inbox(home: Home) -> Iterator[Finding]:
    for folder in [home.inbox, *sorted(home.inbox.glob("[!.]*"))]:
        if folder.is_dir() and not os.access(folder, os.R_OK | os.X_OK):
            name = folder.relative_to(home.root).as_posix()
            yield Finding("inbox", "wrong", f"{name} cannot be read, so nothing in it is taken in", OWNER)


def _permissions(home: Home) -> Iterator[Finding]:
    mode = stat.S_IMODE(home.root.stat().st_mode)
    if mode & (stat.S_IROTH | stat.S_IXOTH):
        yield Finding(
            "permissions", "note", "everybody on this machine can read the home", f"chmod -R o-rwx {quoted(home)}"
        )
    else:
        yield Finding("permissions", "ok", "others cannot read the home")
    for key in sorted((home.root / "keys").glob("*")):
        if stat.S_IMODE(key.stat().st_mode) & 0o077:
            yield Finding(
                "permissions", "wrong", f"keys/{key.name} can be read by others", f"chmod 600 {quote(str(key))}"
            )


def _disk(home: Home) -> Iterator[Finding]:
    free = shutil.disk_usage(home.root).free
    made = [home.database, *home.landed.rglob("*"), *home.staged.rglob("*")]
    needed = FREE_FACTOR * sum(p.stat().st_size for p in made if p.is_file())
    words = f"{free / 2**30:.1f} GiB free, {needed / 2**30:.1f} GiB wanted for a full run"
    if free < needed:
        yield Finding("disk", "wrong", words, "Make room, or move the home to a larger disk.")
    else:
        yield Finding("disk", "ok", words)


def _warehouse(home: Home) -> Iterator[Finding]:
    if not home.database.exists():
        yield Finding("warehouse", "note", "there is none yet", f"restage run --home {quoted(home)}")
        return
    try:
        with closing(open_read(home)) as con:
            n = con.execute("select count(*) from duckdb_tables()").fetchall()[0][0]
        yield Finding("warehouse", "ok", f"{n} tables")
    except RestageError as error:
        state = "wrong" if "damaged" in str(error) else "note"
        yield Finding(
            "warehouse", state, str(error), f"restage rebuild --home {quoted(home)}" if state == "wrong" else "Wait."
        )


def _withdrawn(home: Home) -> Iterator[Finding]:
    """Whether who withdrew is kept out, and can be taken out of what is frozen."""
    try:
        n = len(denylist.read(home))
        for name in freeze.frozen(home):
            freeze.read(home, name)
    except RestageError as error:
        yield Finding(
            "withdrawn", "wrong", str(error), "From a backup; until then nobody can be taken out or kept out."
        )
        return
    if home.withdrawing.exists():
        yield Finding(
            "withdrawn", "wrong", "a withdrawal was not brought to its end", f"restage run --home {quoted(home)}"
        )
    elif n:
        yield Finding("withdrawn", "ok", "list and key of withdrawn subjects belong together")


def _versions(home: Home) -> Iterator[Finding]:
    state = read_state(home)
    if state and not state.get("complete") and _at_work(home):
        yield Finding("run", "ok", "a run is at work")
    elif state and not state.get("complete"):
        yield Finding(
            "run", "wrong", "the last run did not end", f"restage run --home {quoted(home)} does all of it again"
        )
    elif state and state.get("code") != code_version():
        yield Finding(
            "version", "note", "the tables were made by another version of code or protocol",
            f"restage run --home {quoted(home)} makes them anew",
        )  # fmt: skip
    elif state:
        yield Finding("version", "ok", "the tables were made by this version")


def _at_work(home: Home) -> bool:
    lock = home.root / "run.lock"
    # where it cannot be opened, that is told of the home
    return os.access(lock, os.R_OK | os.W_OK) and not is_free(home)


def _leftovers(home: Home) -> Iterator[Finding]:
    if _at_work(home):
        return
    names = ("*.part", ".part-*", ".erasing-*", ".*.part", ".*.verifying", ".*.restoring")
    left = {p for name in names for folder in (home.root, home.archive, home.frozen) for p in folder.glob(name)}
    left |= set((home.archive / "objects").glob(".part-*"))
    if left:
        listed = ", ".join(sorted(p.relative_to(home.root).as_posix() for p in left))
        yield Finding(
            "leftovers",
            "note",
            f"drafts of a run that was killed: {listed}",
            "They can be removed when no run is at work.",
        )


def _runs(home: Home) -> Iterator[Finding]:
    """Runs that Dagster believes to be at work although nothing has been heard of them for an hour."""
    if not (home.dagster / "dagster.yaml").exists() or not os.access(home.dagster, os.W_OK):
        return
    import dagster as dg

    from pipelines.orchestration.execute import records
    from pipelines.orchestration.records import damaged

    if files := damaged(home.dagster):
        names = ", ".join(path.relative_to(home.root).as_posix() for path in files)
        advice = f"restage run --home {quoted(home)} puts them aside and begins new ones; no table rests on them."
        yield Finding("runs", "wrong", f"Dagster's records are damaged: {names}", advice)
        return

    states = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING]
    try:
        with records(home) as instance:
            listed = instance.get_run_records(dg.RunsFilter(statuses=states))
    except RestageError as error:
        what, _, advice = str(error).partition(". ")
        yield Finding("runs", "wrong", what, advice)
        return
    old = datetime.now(UTC) - timedelta(hours=1)
    orphans = [r.dagster_run.run_id for r in listed if r.update_timestamp < old]
    for run in orphans:
        yield Finding(
            "runs",
            "wrong",
            f"run {run[:8]} was killed and is still listed as started",
            "restage watch (or ui) ends it and starts it again.",
        )
    if not orphans:
        yield Finding("runs", "ok", f"{len(listed)} at work, none orphaned")
