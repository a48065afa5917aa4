"""All deliveries of all centres in one order: after which of them the study is looked at, and under which name."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.deliveries import ledger
from pipelines.deliveries.ledger import Delivery
from pipelines.warehouse import Home


@dataclass(frozen=True)
class Moment:
    """The study after some deliveries, at most one of each centre and all of one day; `epoch` counts from 1.

    `key` names everything that its tables were made from: those deliveries and all before them, mappings and code.
    """

    epoch: int
    day: str
    deliveries: tuple[Delivery, ...]
    key: str


def timeline(home: Home, versions: Mapping[str, str]) -> list[Moment]:
    """Every moment of the study, in order; a function of the archive. `versions`: centre -> mapping and code.

    An export that repeats the one before counts: that nothing was changed is news to whoever awaits a correction.
    What several centres deliver on one day comes at once; a second delivery of a centre on that day comes after it.
    Source: ARCHITECTURE, The flow (order by extract date, not by receipt).
    """
    at: dict[tuple[str, int], list[Delivery]] = defaultdict(list)
    for centre in sorted(versions):
        seen: dict[str, int] = defaultdict(int)
        for delivery in sorted(ledger.chain(home, centre) + ledger.repeats(home, centre), key=lambda d: d.order):
            at[delivery.extract_date, seen[delivery.extract_date]].append(delivery)
            seen[delivery.extract_date] += 1
    moments, key = [], ""
    for epoch, (place, deliveries) in enumerate(sorted(at.items(), key=lambda item: item[0]), 1):
        made_of = [f"{d.delivery_id}\t{d.content}\t{versions[d.centre]}" for d in deliveries]
        key = hashlib.sha256("\n".join([key, *made_of]).encode()).hexdigest()
        moments.append(Moment(epoch, place[0], tuple(deliveries), key))
    return moments
