"""Errors that a user can act on: each says which centre, file, row and column, what was expected and what to do."""

from dataclasses import dataclass


class RestageError(Exception):
    """Base of every error of ours; the command line prints it without a traceback and exits with `exit_code`."""

    exit_code = 1


class UsageError(RestageError):
    """The command was used wrongly (unknown option value, missing file, contradictory options)."""

    exit_code = 2


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
