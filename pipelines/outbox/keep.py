"""The outbox of a centre: its report and queries as they were for each delivery, kept and never written over."""

import shutil
from pathlib import Path

from pipelines.deliveries import ledger
from pipelines.deliveries.ledger import Delivery
from pipelines.warehouse import Home

FILES = ("report.html", "queries.xlsx", "queries.csv")
ASKED = "queries.csv"  # another one is another edition; the report alone also changes when other centres deliver


def keep(home: Home, centre: str) -> Path | None:
    """Copy what the centre is told now to `outbox/<delivery>/`; returns the folder, None where nothing came yet.

    `<delivery>` is the id of the centre's last delivery, `_rejected` after it where it was. What lies there stays as it
    is: where the queries have changed since, another edition is added beside it (`<delivery>.2` and so on). A look back
    (`as_of`) is not for centres.
    """
    occasions = _occasions(home, centre)
    if home.as_of is not None or not occasions:
        return None
    now, outbox = home.reports / "centres" / centre, home.outbox(centre)
    occasion = _name(occasions[0])
    before = _editions(outbox, occasion)
    if before and (before[-1] / ASKED).read_bytes() == (now / ASKED).read_bytes():
        return before[-1]
    draft = outbox / ".part"
    shutil.rmtree(draft, ignore_errors=True)  # of a run that was cut off
    draft.mkdir(parents=True)
    for name in FILES:
        shutil.copyfile(now / name, draft / name)
        (draft / name).chmod(0o444)
    return draft.rename(outbox / (occasion + (f".{len(before) + 1}" if before else "")))


def newest(home: Home, centre: str) -> tuple[Delivery, Path] | None:
    """The last delivery that has an edition, and the last edition for it: what the centre should have in hand."""
    found = ((d, _editions(home.outbox(centre), _name(d))) for d in _occasions(home, centre))
    return next(((delivery, editions[-1]) for delivery, editions in found if editions), None)


def bring_back(home: Home, centre: str) -> list[Path]:
    """Let the centre's report be its last edition, what it has in hand; none without one, or for a look back."""
    found, target = newest(home, centre) if home.as_of is None else None, home.reports / "centres" / centre
    if found is None:
        return []
    target.mkdir(parents=True, exist_ok=True)
    return [Path(shutil.copyfile(found[1] / name, target / name)) for name in FILES]


def _occasions(home: Home, centre: str) -> list[Delivery]:
    """What the centre was told something for, last received first: a repeated delivery says nothing new."""
    told = [d for d in ledger.read(home) if d.centre == centre and d.state in ("accepted", "rejected", "answer")]
    return sorted(told, key=lambda d: (d.received, d.order), reverse=True)


def _name(delivery: Delivery) -> str:
    return delivery.delivery_id + ("_rejected" if delivery.state == "rejected" else "")


def _editions(outbox: Path, occasion: str) -> list[Path]:
    """The folders of one occasion in the order in which they were made."""
    first, later = outbox / occasion, outbox.glob(f"{occasion}.*")
    return [first] * first.is_dir() + sorted(later, key=lambda path: int(path.suffix[1:]))
