"""Dagster's record of events in SQLite, as its own class writes it, with the connections kept.

Its class makes an engine, a connection and each statement's text anew for every one of the more than two thousand
statements of a run; in a small study that was nearly half of the run.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from sqlalchemy import create_engine
from sqlalchemy.engine import Connection, Engine

SQLITE = b"SQLite format 3\0"


def damaged(folder: Path) -> list[Path]:
    """Files of Dagster's records that do not begin as SQLite's do."""
    found = []
    for path in sorted(folder.rglob("*.db")):
        with path.open("rb") as file:
            if file.read(len(SQLITE)) not in (SQLITE, b""):
                found.append(path)
    return found


def put_aside(folder: Path) -> None:
    """Rename what is damaged, with what SQLite keeps beside it, so that Dagster begins anew: the study rests on none of
    its records."""
    for path in damaged(folder):
        for part in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
            if part.exists():
                part.replace(part.with_name(f"{part.name}.damaged"))


class KeptConnections(SqliteEventLogStorage):
    """Files and rows are those of Dagster's class, which can read them, and is what a home without ours goes back to.

    One engine stays for the index and one for the run that was asked for last: a server looks into many runs.
    """

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        self._kept: dict[str, Engine] = {}
        super().__init__(base_dir, inst_data)

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "KeptConnections":
        return cls(inst_data=inst_data, **config_value)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock, self._engine(shard).connect() as connection, connection.begin():
            yield connection

    def _engine(self, shard: str) -> Engine:
        if shard not in self._kept:
            for other in self._kept.keys() - {INDEX_SHARD_NAME}:
                self._kept.pop(other).dispose()
            waits = {"timeout": SQLITE_BUSY_TIMEOUT_SECONDS}
            engine = create_engine(self.conn_string_for_shard(shard), connect_args=waits)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            self._kept[shard] = engine
        return self._kept[shard]

    def wipe(self) -> None:
        self._let_go()
        super().wipe()

    def dispose(self) -> None:
        self._let_go()
        super().dispose()

    def _let_go(self) -> None:
        while self._kept:
            self._kept.popitem()[1].dispose()
