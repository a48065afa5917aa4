"""A folder may hold an export and, beside it, the list of queries that comes back: two deliveries of one name."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from pipelines.deliveries import ledger
from pipelines.deliveries.ledger import Delivery
from pipelines.deliveries.manifest import NAME
from pipelines.warehouse import Home

# the list that we sent, in whichever folder, also as a browser, Windows or a person names its copy
COPY = r"(copia|copy|\(?[0-9]{1,3}\)?)"
LIST = re.compile(rf"(.*[/!])?({COPY} )*((di|of) )?queries([ _-]*{COPY})*\.(csv|xlsx)", re.IGNORECASE)


def is_list(name: str) -> bool:
    return LIST.fullmatch(name) is not None


def kinds(names: Collection[str]) -> list[set[str]]:
    """The names of the files of an export and those of an answer, whose manifest stays with the export."""
    lists = {name for name in names if is_list(name)}
    return [set(names) - lists, lists] if lists and set(names) - lists - {NAME} else [set(names)]


def is_answer(delivery: Delivery) -> bool:
    names = {*delivery.files, *delivery.erased} - {NAME}
    return bool(names) and all(map(is_list, names))


def lying(came: Iterable[Delivery]) -> Iterator[Mapping[str, Mapping[str, Any]]]:
    """What lies in a folder after each of the deliveries that came under its name: the last export, the last answer."""
    last: dict[bool, Delivery] = {}
    for delivery in came:
        last[is_answer(delivery)] = delivery
        yield {name: about for each in last.values() for name, about in each.files.items()}


def beside(home: Home, delivery: Delivery) -> list[Delivery]:
    """The last answer in the folder of an export, or the other way round; none where only one of them came."""
    came = ledger.by_place(home).get((delivery.centre, delivery.name), [])
    return [d for d in came if is_answer(d) != is_answer(delivery)][-1:]
