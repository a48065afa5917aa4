"""Where a study's run-time state lies, and how its one DuckDB file is opened: one writer, readers read-only."""

import functools
import os
import shutil
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipelines.errors import DiskFull, RestageError, UsageError, disk_full

if TYPE_CHECKING:
    import duckdb

SHARE = "400MB"  # of a database that works for one centre beside another, and of the writer while reports are made
WRITER = "700MB"  # of the one that makes the tables; what does not fit into it is spilled
QUOTE = "'"
PATTERN = set("*?[]%")  # in a path DuckDB reads them as a pattern, SQLite's URL as an escape or its end
Made = TypeVar("Made")


class DamagedWarehouse(RestageError):
    """The warehouse's file is no longer one that DuckDB opens; all of it can be made again."""


@dataclass(frozen=True)
class Home:
    """The folder that holds everything a study makes at run time; with `as_of` (ISO date) only what was received by
    the end of that day counts."""

    root: Path
    as_of: str | None = None

    def __post_init__(self) -> None:
        if found := sorted(PATTERN & set(str(self.root))):
            raise UsageError(
                f"{self.root}: a home's path without {' '.join(found)} is needed, which DuckDB and SQLite take for "
                "patterns or escapes. Rename the folder, or name another one with --home."
            )

    @property
    def inbox(self) -> Path:
        return self.root / "inbox"

    @property
    def archive(self) -> Path:
        return self.root / "archive"

    @property
    def withdrawing(self) -> Path:
        """Lies there while a withdrawal is not done; in the archive, because it goes with every copy of it."""
        return self.archive / "withdrawing"

    @property
    def landed(self) -> Path:
        return self.root / "landed"

    @property
    def staged(self) -> Path:
        return self.root / "staged"

    @property
    def database(self) -> Path:
        return self.root / "warehouse.duckdb"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    def outbox(self, centre: str) -> Path:
        return self.reports / "centres" / centre / "outbox"

    @property
    def gx(self) -> Path:
        return self.root / "gx"

    @property
    def frozen(self) -> Path:
        return self.root / "frozen"

    @property
    def history(self) -> Path:
        """What failed after each delivery; made again from the archive where it is missing."""
        return self.root / "history"

    @property
    def dagster(self) -> Path:
        return self.root / "dagster"


def clear_reports(home: Home, forget: Collection[str] = ()) -> None:
    """Remove what can be made again; an outbox, which tells what was sent, goes for the centres in `forget` only."""
    for path in [*home.reports.glob("*"), *home.reports.glob("centres/*/*")]:
        kept = home.reports / "centres"
        if path == kept or (path.name == "outbox" and path.parent.parent == kept and path.parent.name not in forget):
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def write_whole(path: Path, text: str, mode: int = 0o666) -> None:
    """Write a small file so that whoever reads it finds the old text or the new one, also after a crash."""
    draft = path.with_name(f".{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def remove(home: Home, folder: Path) -> None:
    """Remove a folder of the home as a whole: one that a crash left half there would pass for what it was."""
    if folder.exists():
        gone = home.root / f".removed-{os.getpid()}-{folder.parent.name}-{folder.name}"
        shutil.rmtree(gone, ignore_errors=True)
        folder.rename(gone)
        shutil.rmtree(gone)


def configure(con: "duckdb.DuckDBPyConnection") -> None:
    """Nothing is fetched at run time, and rows keep their order so that equal input gives equal files."""
    con.execute("set autoinstall_known_extensions = false; set autoload_known_extensions = false")
    con.execute("set preserve_insertion_order = true; set enable_progress_bar = false")


def memory(spill: Path | None = None, limit: str | None = SHARE) -> "duckdb.DuckDBPyConnection":
    """A private in-memory database; with `spill`, what does not fit into `limit` (without one: into four fifths of the
    machine's memory) goes there."""
    import duckdb

    con = duckdb.connect()
    configure(con)
    if spill is not None:
        con.execute(f"set temp_directory = '{str(spill).replace(QUOTE, QUOTE * 2)}'")
    if spill is not None and limit is not None:
        con.execute(f"set memory_limit = '{limit}'")
    return con


def again_with_room(work: Callable[..., Made]) -> Callable[..., Made]:
    """Work in a bounded database of its own (`limit`) that leaves nothing behind when it fails: where it cannot spill
    enough, it is done again with all the memory there is."""

    @functools.wraps(work)
    def run(*args: Any, **kwargs: Any) -> Made:
        import duckdb

        try:
            return work(*args, **kwargs)
        except duckdb.OutOfMemoryException:
            return work(*args, **{**kwargs, "limit": None})

    return run


def with_room(con: "duckdb.DuckDBPyConnection", statement: str) -> None:
    """Run a statement that may be done again; one that cannot spill enough is done with all the memory there is: the
    bound gives way rather than the run."""
    import duckdb

    try:
        con.execute(statement)
    except duckdb.OutOfMemoryException:
        ((limit,),) = con.execute("select current_setting('memory_limit')").fetchall()
        con.execute("reset memory_limit")
        ((all_there_is,),) = con.execute("select current_setting('memory_limit')").fetchall()
        con.execute(f"set memory_limit = '{all_there_is}'")  # `reset` alone changes what is told, not what holds
        try:
            con.execute(statement)
        finally:
            con.execute(f"set memory_limit = '{limit}'")


def exists(con: "duckdb.DuckDBPyConnection", full_name: str) -> bool:
    """Whether the warehouse holds a table."""
    schema, name = full_name.split(".")
    where = f"database_name = 'store' and schema_name = '{schema}' and table_name = '{name}'"
    return count(con, f"duckdb_tables() where {where}") > 0


def count(con: "duckdb.DuckDBPyConnection", rows: str) -> int:
    """How many rows a table has, or what stands after `from`."""
    return int(con.execute(f"select count(*) from {rows}").fetchall()[0][0])


def open_read(home: Home) -> "duckdb.DuckDBPyConnection":
    """The warehouse for reading only; raises `UsageError` when there is none yet, or it may not be read."""
    import duckdb

    if not home.database.exists():
        raise UsageError(f"{home.root}: no warehouse here yet. Run `restage run --home {home.root}` first.")
    _allowed(home.database, os.R_OK)
    try:
        con = duckdb.connect(str(home.database), read_only=True)
    except duckdb.IOException as error:
        if "lock" not in str(error):
            raise RestageError(
                f"{home.database.name} is damaged. `restage rebuild --home {home.root}` makes it anew from the archive."
            ) from error
        raise RestageError(f"{home.database.name} is being written by another run. Wait until it ends.") from error
    configure(con)
    return con


def _allowed(file: Path, mode: int) -> None:
    """One that may not be opened is not damaged: it is another user's, and stays."""
    if not os.access(file, mode):
        word = "write" if os.access(file, os.R_OK) else "read"
        raise UsageError(f"{file}: this user may not {word} it. Run as the user that owns the home.")


def open_write(home: Home) -> "duckdb.DuckDBPyConnection":
    """An in-memory database with the warehouse attached as `store`; the one writer of the study.

    Raises `DamagedWarehouse` where the file cannot be opened, `UsageError` where this user may not,
    `RestageError` where another process has it open.
    """
    import duckdb

    home.root.mkdir(parents=True, exist_ok=True)
    if home.database.exists():
        _allowed(home.database, os.R_OK | os.W_OK)
    con = memory(Path(tempfile.gettempdir()), WRITER)
    try:
        # the newer layout keeps texts as a dictionary of theirs: a quarter less work to write them, and smaller files
        path = str(home.database).replace(QUOTE, QUOTE * 2)
        con.execute(f"attach '{path}' as store (storage_version 'v1.3.0')")
    except duckdb.Error as error:
        con.close()
        if disk_full(error):
            raise DiskFull from error
        if "lock" in str(error).lower():
            raise RestageError(
                f"{home.database.name} is open in another program. Close it there, then run again."
            ) from error
        raise DamagedWarehouse(f"{home.database.name} cannot be opened.") from error
    return con
