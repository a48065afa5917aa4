"""A subject withdraws consent: gone from every layer, report and archived file, and kept out from then on."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines import freeze
from pipelines.deliveries import acceptances, denylist, erase, gone, ledger, search
from pipelines.deliveries.land import land
from pipelines.deliveries.ledger import Delivery
from pipelines.errors import DeliveryRejected, UsageError
from pipelines.staging import INVISIBLE
from pipelines.warehouse import Home, clear_reports, remove

if TYPE_CHECKING:
    from pipelines.mapping import Centre


@dataclass(frozen=True)
class Withdrawn:
    """By centre how many deliveries are written anew; rejected ones that are gone, and that could not be searched."""

    deliveries: Mapping[str, int]
    removed: Sequence[Delivery]
    unsearched: Sequence[Delivery]


def withdraw(home: Home, usubjid: str, centres: Mapping[str, "Centre"]) -> Withdrawn:
    """Enter a subject in the denylist and remove what was made from its rows; what is cut off, the next run ends.

    Raises `UsageError` for what is no study code: a mistyped one would leave the subject in.
    """
    usubjid = usubjid.strip(INVISIBLE).upper()
    if not is_code(usubjid):
        raise UsageError(
            f"{usubjid}: no study code, or mistyped: its form is that of RCC-ME1-001-M, and the last character checks "
            "the others. Nobody was withdrawn: look up the code and run again."
        )
    denylist.begin(home, [usubjid])
    denylist.add(home, denylist.CODE, [usubjid])
    return _taken_out(home, centres)


def is_code(text: str) -> bool:
    """Whether a text is written as study codes are issued and its check character fits (ISO 7064 mod 37,36)."""
    if not re.fullmatch("[0-9A-Z]+-[0-9A-Z]+-[0-9A-Z]+-[0-9A-Z]", text):
        return False
    sum_, *digits, last = 36, *(int(c, 36) for c in text.replace("-", ""))
    for digit in digits:
        sum_ = ((sum_ + digit - 1) % 36 + 1) * 2 % 37
    return (sum_ + last) % 36 == 1


def finish(home: Home, centres: Mapping[str, "Centre"]) -> Withdrawn | None:
    """End a withdrawal that was cut off, or that a restored archive has still to follow; None where there is none."""
    return None if denylist.begun(home) is None else _taken_out(Home(home.root), centres)


def _taken_out(home: Home, centres: Mapping[str, "Centre"]) -> Withdrawn:
    """Remove what was made from the rows of everybody in the denylist.

    The next run lands all deliveries of these centres again; landing takes the subject's rows out of the archived files
    (`deliveries.erase`), frozen states lose them here. Deliveries that were rejected cannot be read and go as a whole
    where a centre knows the subject, be it only by a rejected delivery that holds its code or an id; lines about it go
    from the centre's answers. A code that nobody has sent yet is entered all the same.
    """
    codes = denylist.begun(home) or set()
    found: dict[str, int] = defaultdict(int)
    ids: dict[str, set[str]] = defaultdict(set)
    # twice, because an id may get its code with a later delivery
    for _ in range(2):
        found.clear()
        for delivery in ledger.read(home):
            if delivery.state != "accepted" or delivery.centre not in centres:
                continue
            centre = centres[delivery.centre].on(delivery.extract_date)
            landed = home.landed / centre.name / delivery.delivery_id
            if not landed.exists():
                try:
                    land(home, centre, delivery)
                except DeliveryRejected:
                    continue  # no longer readable under this mapping; the run says so
            mine = denylist.withdrawn(home, centre, landed)
            found[centre.name] += bool(mine)
            ids[centre.name] |= mine
            codes |= denylist.codes(home, centre, landed)
            denylist.add(home, centre.name, mine)
    words = codes.union(*ids.values())
    freeze.take_out(home, codes, ids)
    concerned = [name for name, n in found.items() if n]
    for delivery in ledger.read(home):
        if delivery.centre in concerned and delivery.state == "answer":
            erase.erase_answer(home, centres[delivery.centre], delivery, ids[delivery.centre])
    removed, unsearched = _rejected(home, concerned, words)
    gone.finish(home)
    for code in codes:
        acceptances.forget(home, code)
    if concerned:
        _remove_what_was_made(home, concerned)
    denylist.end(home)
    return Withdrawn({name: found[name] for name in concerned}, removed, unsearched)


def _rejected(home: Home, concerned: list[str], words: set[str]) -> tuple[list[Delivery], list[Delivery]]:
    """Let rejected deliveries of centres that know a subject go; returns them, and those that cannot be searched."""
    rejected = [d for d in ledger.read(home) if d.state == "rejected" and d.files]
    held = {
        d.delivery_id: d.centre in concerned or search.names_withdrawn(home, d) or search.names(home, d, words)
        for d in rejected
    }
    knowing = {d.centre for d in rejected if held[d.delivery_id]}
    removed = [d for d in rejected if d.centre in knowing]
    for delivery in removed:
        erase.erase_all(home, delivery)
    return removed, [d for d in rejected if d.centre not in knowing and held[d.delivery_id] is None]


def _remove_what_was_made(home: Home, concerned: list[str]) -> None:
    """Files of the centres' layers, their outboxes, and what mixes all: a database keeps deleted rows in its pages."""
    # first what says that all is well: the next run then makes anew whatever a crash leaves
    for file in (home.root / "state.json", home.database):
        file.unlink(missing_ok=True)
    for name in concerned:
        remove(home, home.staged / name)
        remove(home, home.landed / name)
    for folder in (home.history, home.gx):
        remove(home, folder)
    clear_reports(home, forget=concerned)
