"""Two header rows, merged cells above: the joined names, and the block of columns that comes again below each."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pipelines.profile.header import are_names
from pipelines.profile.seen import Seen
from pipelines.readers.xlsx import joined

if TYPE_CHECKING:
    import pyarrow as pa

JOIN = "|"
NUMBERED = re.compile(r"(.*?)(\d+)(\D*)")
BLOCK, FIELD = "visit", "field"


def header_of_two(rows: Sequence[Sequence[str | None]], numbers: Sequence[int]) -> tuple[int, list[str]] | None:
    """Where two rows are a header, and its joined names: the same lower texts stand below several upper ones.

    `rows` are padded to one width, `numbers` their places in the sheet.
    """
    for at, (upper, lower) in enumerate(pairwise(rows)):
        above, below = ([(c or "").strip() for c in row] for row in (upper, lower))
        names = joined(above, below, JOIN)
        groups = _groups(names)
        if numbers[at + 1] == numbers[at] + 1 and len(groups) > 1 and _come_again(groups) and are_names(_cut(names)):
            return at, _cut(names)
    return None


def _cut(names: Sequence[str]) -> list[str]:
    """Without what follows the last name."""
    return list(names[: max(i for i, name in enumerate(names, 1) if name)])


def _groups(names: Sequence[str]) -> dict[str, list[str]]:
    """Upper text -> the lower ones below it."""
    found: dict[str, list[str]] = {}
    for name in names:
        upper, bar, lower = name.partition(JOIN)
        if bar:
            found.setdefault(upper, []).append(lower)
    return found


def _come_again(groups: Mapping[str, Sequence[str]]) -> bool:
    """Merged: below each upper text stand several, and they are the same below most of them."""
    sets = [frozenset(lower) for lower in groups.values() if len(lower) > 1]
    return len(sets) > 1 and max(map(sets.count, sets)) > len(groups) / 2


def unpivoted(seen: Seen) -> list[Seen]:
    """The table without its blocks, and one with a row per block; a table without blocks alone."""
    import pyarrow as pa

    groups = _groups(seen.names)
    if not groups:
        return [seen]
    fields = list(dict.fromkeys(lower for many in groups.values() for lower in many))
    spec, visits = _pattern(list(groups), fields)
    alone = tuple(n for n in seen.names if JOIN not in n)
    if {BLOCK, *fields} & set(alone):
        return [seen]
    tables = []
    for upper, visit in visits.items():
        cells = {f: seen.rows[f"{upper}{JOIN}{f}"] for f in fields if f in groups[upper]}
        columns = {n: seen.rows[n] for n in alone} | {BLOCK: pa.array([visit] * len(seen.rows), pa.string())} | cells
        tables.append(_filled(pa.table(columns), list(cells)))
    rows = pa.concat_tables(tables, promote_options="default")
    origin = {name: name.partition(JOIN)[2] for name in seen.names if JOIN in name}
    made = replace(seen, names=(*alone, BLOCK, *fields), rows=rows, unpivot=spec)
    return [replace(seen, origin=origin), made]


def _filled(table: "pa.Table", names: Sequence[str]) -> "pa.Table":
    """The rows with something in these columns."""
    import pyarrow.compute as pc

    mask = pc.is_valid(table[names[0]])
    for name in names[1:]:
        mask = pc.or_(mask, pc.is_valid(table[name]))
    return table.filter(mask)


def _plain(text: str) -> str:
    return re.escape(text).replace("\\ ", " ")


def _pattern(uppers: Sequence[str], fields: Sequence[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The blocks as a mapping tells them, and the visit of each: its number, 0 where the text has none."""
    said = {upper: NUMBERED.fullmatch(upper) for upper in uppers}
    listed = "|".join(map(_plain, fields))
    if any(said.values()):
        shapes = dict.fromkeys(
            f"{_plain(m[1])}(?P<{BLOCK}>\\d+){_plain(m[3])}" if m else _plain(u) for u, m in said.items()
        )
        if sum(f"(?P<{BLOCK}>" in shape for shape in shapes) == 1:
            spec: dict[str, Any] = {"blocks": f"(?:{'|'.join(shapes)})\\|(?P<{FIELD}>{listed})"}
            spec |= {} if all(said.values()) else {"default": {BLOCK: "0"}}
            return spec, {upper: str(int(m[2])) if m else "0" for upper, m in said.items()}
    spec = {"blocks": f"(?P<{BLOCK}>{'|'.join(map(_plain, uppers))})\\|(?P<{FIELD}>{listed})"}
    return spec, {upper: upper for upper in uppers}
