"""What can be wrong with a home, looked for one thing after the other; each finding says what to do."""

import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from pipelines.deliveries import ledger
from pipelines.errors import RestageError
from pipelines.orchestration.plan import code_version, read_state
from pipelines.warehouse import Home, open_read

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
    """Look at everything that can be wrong; `deep` reads every archived file. Nothing is changed."""
    if not home.root.is_dir():
        return [Finding("home", "wrong", f"{home.root} is no folder", "Name the study's home with --home.")]
    looks = (_home, _permissions, _disk, _clock, _archive(deep), _warehouse, _versions, _leftovers, _runs)
    return [finding for look in looks for finding in look(home)]


def _home(home: Home) -> Iterator[Finding]:
    if os.access(home.root, os.W_OK | os.X_OK):
        yield Finding("home", "ok", f"{home.root} can be written")
    else:
        yield Finding("home", "wrong", f"{home.root} cannot be written", "Run as the user that owns it.")


def _permissions(home: Home) -> Iterator[Finding]:
    mode = stat.S_IMODE(home.root.stat().st_mode)
    if mode & (stat.S_IROTH | stat.S_IXOTH):
        yield Finding(
            "permissions", "note", "everybody on this machine can read the home", f"chmod -R o-rwx {home.root}"
        )
    else:
        yield Finding("permissions", "ok", "others cannot read the home")
    for key in sorted((home.root / "keys").glob("*")):
        if stat.S_IMODE(key.stat().st_mode) & 0o077:
            yield Finding("permissions", "wrong", f"keys/{key.name} can be read by others", f"chmod 600 {key}")


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
    limit = (datetime.now(UTC) + SLACK).isoformat(timespec="milliseconds")
    ahead = [d.name for d in ledger.read(home) if d.received > limit]
    if ahead:
        yield Finding(
            "clock", "wrong", f"{len(ahead)} deliveries were received in the future ({ahead[0]})",
            "Set this machine's clock; the order of deliveries and --as-of rest on it.",
        )  # fmt: skip
    else:
        yield Finding("clock", "ok", "no delivery was received in the future")


def _archive(deep: bool) -> Callable[[Home], Iterator[Finding]]:
    from pipelines.backup import sha256

    def look(home: Home) -> Iterator[Finding]:
        path = home.archive / "ledger.jsonl"
        if not path.exists():
            yield Finding("archive", "note", "nothing was taken in yet", "Put deliveries into inbox/<centre>/ and run.")
            return
        broken = [n for n, line in enumerate(path.read_text(encoding="utf-8").split("\n")[:-1], 1) if not _json(line)]
        for n in broken:
            yield Finding(
                "archive", "note", f"ledger.jsonl:{n} was cut off", "Nothing: the delivery was taken in again."
            )
        files = {str(f["sha256"]): d for d in ledger.read(home) for f in d.files.values()}
        lost = sorted({d.name for sha, d in files.items() if not ledger.object_path(home, sha).exists()})
        damaged = sorted(
            {
                d.name
                for sha, d in files.items()
                if deep and d.name not in lost and sha256(ledger.object_path(home, sha)) != sha
            }
        )
        for names, word in ((lost, "missing"), (damaged, "damaged")):
            if names:
                yield Finding(
                    "archive", "wrong", f"files of {', '.join(names)} are {word}",
                    "Restore them from a backup, or ask the centre to send the delivery again.",
                )  # fmt: skip
        if not lost and not damaged:
            yield Finding("archive", "ok", f"{len(files)} files, {'every byte read' if deep else 'all there'}")

    return look


def _json(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except json.JSONDecodeError:
        return False


def _warehouse(home: Home) -> Iterator[Finding]:
    if not home.database.exists():
        yield Finding("warehouse", "note", "there is none yet", f"restage run --home {home.root}")
        return
    try:
        with closing(open_read(home)) as con:
            n = con.execute("select count(*) from duckdb_tables()").fetchall()[0][0]
        yield Finding("warehouse", "ok", f"{n} tables")
    except RestageError as error:
        state = "wrong" if "damaged" in str(error) else "note"
        yield Finding(
            "warehouse", state, str(error), f"restage rebuild --home {home.root}" if state == "wrong" else "Wait."
        )


def _versions(home: Home) -> Iterator[Finding]:
    state = read_state(home)
    if state and not state.get("complete"):
        yield Finding(
            "run", "wrong", "the last run did not end", f"restage run --home {home.root} does all of it again"
        )
    elif state and state.get("code") != code_version():
        yield Finding(
            "version", "note", "the tables were made by another version of code or protocol",
            f"restage run --home {home.root} makes them anew",
        )  # fmt: skip
    elif state:
        yield Finding("version", "ok", "the tables were made by this version")


def _leftovers(home: Home) -> Iterator[Finding]:
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
    if not (home.dagster / "dagster.yaml").exists():
        return
    import dagster as dg

    from pipelines.orchestration.execute import records

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
