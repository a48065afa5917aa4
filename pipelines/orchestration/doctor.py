"""What can be wrong with a home, looked for one thing after the other; each finding says what to do."""

import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from shlex import quote

from pipelines.deliveries import ledger
from pipelines.errors import RestageError
from pipelines.lock import is_free
from pipelines.orchestration.plan import code_version, read_state
from pipelines.warehouse import Home, open_read

OWNER = "Run as the user that owns the home, or let it read and write there."
FREE_FACTOR = 2  # a run writes the warehouse anew beside the old one
SLACK = timedelta(minutes=5)


@dataclass(frozen=True)
class Finding:
    """`state` is ok, note (nothing to do now) or wrong; `advice` says what to do."""

    check: str
    state: str
    what: str
    advice: str = ""

    def row(self) -> dict[str, str]:
        return asdict(self)


def examine(home: Home, deep: bool = False) -> list[Finding]:
    """Look at everything that can be wrong; `deep` reads every archived file. Nothing is changed.

    A look that fails is a finding, too, and the others go on.
    """
    if not home.root.is_dir():
        return [Finding("home", "wrong", f"{home.root} is no folder", "Name the study's home with --home.")]
    looks: dict[str, Callable[[Home], Iterator[Finding]]] = {
        "home": _home, "inbox": _inbox, "permissions": _permissions, "disk": _disk,
        "archive": partial(_archive, deep=deep), "clock": _clock, "warehouse": _warehouse, "version": _versions,
        "leftovers": _leftovers, "runs": _runs,
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


def quoted(home: Home) -> str:
    """The home as a shell takes it."""
    return quote(str(home.root))


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


def _clock(home: Home) -> Iterator[Finding]:
    limit = datetime.now(UTC) + SLACK
    ahead = [d for d in ledger.read(home) if d.received > limit.isoformat(timespec="milliseconds")]
    if not ahead:
        yield Finding("clock", "ok", "no delivery was received in the future")
        return
    what = f"{len(ahead)} deliveries were received in the future ({ahead[0].name})"
    written = [p for p in (home.archive / "ledger.jsonl", home.root / "state.json") if p.exists()]
    if any(p.stat().st_mtime > limit.timestamp() for p in written):
        advice = "Set this machine's clock, then run; the order of deliveries and --as-of rest on it."
        yield Finding("clock", "wrong", what, advice)
    else:  # a run since then was at a time that is past
        until = max(d.received for d in ahead)[:10]
        yield Finding(
            "clock", "note", what,
            "If this machine's clock is wrong, set it. If it was wrong then, nothing can be done: until "
            f"{until} --as-of leaves them out, and deliveries without an extract date come before them.",
        )  # fmt: skip


def _archive(home: Home, deep: bool) -> Iterator[Finding]:
    said = {raw["delivery_id"] for _, _, raw in ledger.lines(home) if raw}
    for n, line, raw in ledger.lines(home):
        if raw is None:
            named = re.search(rb'"delivery_id": "([^"]*)"', line)
            # one that was cut off before it named a delivery had not been answered for yet
            if named[1].decode(errors="replace") in said if named else re.match(rb'\{"[^}]*$', line):
                yield Finding(
                    "archive", "note", f"ledger.jsonl:{n} was cut off or damaged",
                    "Nothing: the ledger has that delivery, or the next run takes it in.",
                )  # fmt: skip
            else:
                yield Finding(
                    "archive", "wrong", f"ledger.jsonl:{n} is damaged, and what it said is lost",
                    f"restage run --home {quoted(home)} takes the delivery in again where it lies in the inbox still; "
                    "else restore a backup into a new folder. Then take this line out of the file.",
                )  # fmt: skip
    if not ledger.read(home):
        yield Finding("archive", "note", "nothing was taken in yet", "Put deliveries into inbox/<centre>/ and run.")
        return
    unsound = ledger.unsound(home, deep)
    for word in sorted({fault for _, _, fault in unsound}):
        names = sorted({f"{d.centre}/{d.name}" for d, _, fault in unsound if fault == word})
        yield Finding("archive", "wrong", f"files of {', '.join(names)} are {word}", ledger.MEND)
    if not unsound:
        n = len({f["sha256"] for d in ledger.read(home) for f in d.files.values()})
        yield Finding("archive", "ok", f"{n} files, {'every byte read' if deep else 'all there'}")


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

    from pipelines.orchestration.records import damaged

    if files := damaged(home.dagster):
        names = ", ".join(path.relative_to(home.root).as_posix() for path in files)
        advice = f"restage run --home {quoted(home)} puts them aside and begins new ones; no table rests on them."
        yield Finding("runs", "wrong", f"Dagster's records are damaged: {names}", advice)
        return

    with dg.DagsterInstance.from_config(str(home.dagster.resolve())) as instance:
        states = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING]
        records = instance.get_run_records(dg.RunsFilter(statuses=states))
    old = datetime.now(UTC) - timedelta(hours=1)
    orphans = [r.dagster_run.run_id for r in records if r.update_timestamp < old]
    for run in orphans:
        yield Finding(
            "runs",
            "wrong",
            f"run {run[:8]} was killed and is still listed as started",
            "restage watch (or ui) ends it and starts it again.",
        )
    if not orphans:
        yield Finding("runs", "ok", f"{len(records)} at work, none orphaned")
