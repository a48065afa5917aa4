"""The audit trail of the coordinating data manager: which value of which query was accepted, by whom, when and why."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from pipelines.deliveries.lines import append_line
from pipelines.warehouse import Home

NAME = "acceptances.jsonl"


@dataclass(frozen=True)
class Acceptance:
    """One decision: it holds for the value with this digest, from the delivery `after` which it was taken.

    `reply_delivery` is the answer in which the centre confirmed the value; `accepted_on` is UTC, ISO 8601.
    """

    query_id: str
    centre: str
    usubjid: str | None
    value_hash: str
    accepted_by: str
    accepted_on: str
    accept_reason: str
    reply_delivery: str
    after: str


def trail(home: Home) -> Path:
    """In the archive, because nothing else can say it again."""
    return home.archive / NAME


def append(home: Home, acceptance: Acceptance) -> None:
    """Write one more line; no line is ever changed."""
    append_line(trail(home), _line(acceptance))


def read(home: Home) -> list[Acceptance]:
    """All decisions in their order; in a home with `as_of` those taken by then. A line that was cut off is none."""
    found = []
    for line in trail(home).read_text(encoding="utf-8").split("\n") if trail(home).exists() else []:
        try:
            found.append(Acceptance(**json.loads(line)))
        except json.JSONDecodeError:
            continue
    return [a for a in found if home.as_of is None or a.accepted_on[:10] <= home.as_of]


def forget(home: Home, usubjid: str) -> None:
    """Take out what was decided about a subject who withdraws: the reason is free text and may speak of it."""
    if trail(home).exists():
        kept = [a for a in read(Home(home.root)) if a.usubjid != usubjid]
        draft = trail(home).with_suffix(".part")
        draft.write_text("".join(_line(a) + "\n" for a in kept), encoding="utf-8")
        draft.replace(trail(home))


def _line(acceptance: Acceptance) -> str:
    return json.dumps(asdict(acceptance), ensure_ascii=False, sort_keys=True)
