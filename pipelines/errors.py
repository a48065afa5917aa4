"""Errors that a user can act on: each says which centre, file, row and column, what was expected and what to do."""

import errno
import os
from dataclasses import dataclass
from pathlib import Path

# a quota and a limit on the size of a file stop a run in the same way
NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# what DuckDB and SQLite say of it, which give no number; SQLite does not tell a full disk from one that fails
NO_SPACE_WORDS = ("no space left on device", "disk is full", "disk quota exceeded", "file too large", "disk i/o error")

# what a user can put right where a path is wrong. A file that is missing is none of these: it may be one of ours
WRONG_PATH = {
    errno.EISDIR: "is a folder where a file is expected",
    errno.ENOTDIR: "is a file where a folder is expected",
    errno.EEXIST: "is a file where a folder is expected",
    errno.EACCES: "this user may not read or write it",
    errno.EPERM: "this user may not read or write it",
    errno.EROFS: "its file system is mounted for reading only",
}


class RestageError(Exception):
    """Base of every error of ours; the command line prints it without a traceback and exits with `exit_code`."""

    exit_code = 1


class UsageError(RestageError):
    """The command was used wrongly (unknown option value, missing file, contradictory options)."""

    exit_code = 2


class DiskFull(RestageError):
    """Nothing more could be written; what was received is safe, and the next run repairs what was made from it."""

    def __init__(self) -> None:
        super().__init__(
            "The disk is full, or does not take what is written. What was received is safe and the run is not "
            "finished: free some space, then run again."
        )


class MappingError(UsageError):
    """A `centre.yaml`, rule, table or protocol file does not say what it must; names file and place."""


class Infeasible(UsageError):
    """A cohort that no set of lesions and visits can produce; names the patient and the reason."""

    def __init__(self, patient: str, reason: str) -> None:
        super().__init__(f"patient {patient}: {reason}")
        self.patient, self.reason = patient, reason


@dataclass(frozen=True)
class Problem:
    """One reason why a file cannot be taken in; `place` is its row or column, never a patient's value."""

    source_file: str
    place: str
    expected: str
    action: str

    def __str__(self) -> str:
        place = f", {self.place}" if self.place else ""
        return f"{self.source_file}{place}: expected {self.expected}. {self.action}"


class UnreadableFile(RestageError):
    """All problems of the files that could not be read; the delivery that holds them is rejected."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(p) for p in problems))
        self.problems = problems


class DeliveryRejected(RestageError):
    """A delivery that cannot be taken in; the centre's last good one stays in force (exit code 3)."""

    exit_code = 3

    def __init__(self, centre: str, delivery: str, problems: list[Problem]) -> None:
        reasons = "\n".join(f"  {p}" for p in problems)
        super().__init__(f"{centre}: delivery {delivery} was rejected\n{reasons}")
        self.centre, self.delivery, self.problems = centre, delivery, problems


def wrong_path(error: BaseException) -> UsageError | None:
    """What an error of the operating system says of the path that it names, in words for the user; None: a fault of
    ours."""
    if not isinstance(error, OSError) or error.filename is None or error.filename2 is not None:
        return None
    path, words = Path(os.fsdecode(error.filename)), WRONG_PATH.get(error.errno or 0)
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        path = next((p for p in (path, *path.parents) if p.is_file()), path)
    return UsageError(f"{path}: {words}.") if words else None


def disk_full(error: BaseException | None) -> bool:
    """Whether an error, or what led to it, says that nothing more can be written."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        said = str(error).lower()
        if getattr(error, "errno", None) in NO_SPACE or any(words in said for words in NO_SPACE_WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False
