"""What the doctor looks for in a study's archive: what was received, when, and whether it is what came."""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from shlex import quote

from pipelines.deliveries import ledger
from pipelines.warehouse import Home

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


def quoted(home: Home) -> str:
    """The home as a shell takes it."""
    return quote(str(home.root))


def clock(home: Home) -> Iterator[Finding]:
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


def archive(home: Home, deep: bool) -> Iterator[Finding]:
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
