"""How many rows each rule looked at, by centre: in as few passes, over as few joins, as the counts need."""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from pipelines.rules.load import Rule
from pipelines.rules.statements import ALIAS, SUBQUERY, source
from pipelines.study import sql_literal as lit

KINDS = r"(?:left|right|full|inner|outer|cross|semi|anti|asof|natural|positional)"
TOKEN = re.compile(rf"--[^\n]*|'(?:[^']|'')*'|[()]|\b(?:{KINDS}\s+)*join\b", re.IGNORECASE)
PLAIN_LEFT = re.compile(
    r"left\s+(?:outer\s+)?join\s+(?:lateral\s+)?(?:[\w.]+\s+)?(?:as\s+)?(\w+)\s+(?:on|using)\b", re.IGNORECASE
)
# words of a predicate that are no column
BARE = re.compile(r"'(?:[^']|'')*'|(?<![\w.])([a-z_]\w*)(?![\w]|\s*[.(])", re.IGNORECASE)
SPOKEN = {
    "and", "or", "not", "is", "null", "in", "between", "like", "ilike", "case", "when", "then", "else", "end",
    "true", "false", "distinct", "from", "exists", "select", "where", "any", "all", "interval", "date", "integer",
    "varchar", "double",
}  # fmt: skip


def passes(rules: Iterable[Rule]) -> list[tuple[Rule, ...]]:
    """Rules by the rows that are counted for them; one with a subquery stays alone, or it would run once for each."""
    found: dict[tuple[object, ...], list[Rule]] = {}
    for rule in rules:
        alone = rule.rule_id if SUBQUERY.search(rule.applies_when) else ""
        key = (rule.table, counted_joins(rule), rule.centre, rule.raised_by is None, alone)
        found.setdefault(key, []).append(rule)
    return [tuple(group) for group in found.values()]


def checked(group: Sequence[Rule]) -> str:
    """The select that yields rule, centre and the number of rows, for the rules of one pass."""
    if group[0].raised_by:
        names = ", ".join(lit(rule.rule_id) for rule in group)
        received = "select centre, sum(n_rows) as n from staged.received group by centre"
        return f"select unnest([{names}]), centre, n from ({received})"
    seen = ", ".join(
        f"struct_pack(rule_id := {lit(rule.rule_id)}, n := count(*) filter ({rule.applies_when}))" for rule in group
    )
    rows = source(group[0].table, counted_joins(group[0]))
    # named a second time, because a filter of a count reaches no table before its join
    any_of = " or ".join(f"({rule.applies_when})" for rule in group)
    by_centre = f"select {group[0].centre} as centre, unnest([{seen}]) as seen from {rows} where {any_of} group by 1"
    return f"select seen.rule_id, centre, seen.n from ({by_centre})"


def counted_joins(rule: Rule) -> str:
    """The joins that decide how many rows there are: a `left join` takes none away and adds none (the joined rows are
    one for each checked row, or a record would fail twice), and is left out where nothing names it. All of them, where
    a column is named without its table."""
    named, kept = f"{rule.centre} {rule.applies_when}", []
    if {word.lower() for word in BARE.findall(named) if word} - SPOKEN:
        return rule.joins
    for join in reversed(each_join(rule.joins)):
        left = PLAIN_LEFT.match(_outside_brackets(join))
        if left is None or left[1].lower() in ALIAS.findall(named.lower()):
            kept.append(join)
            named += join
    return "\n".join(reversed(kept))


def each_join(sql: str) -> list[str]:
    """The joins that stand in no bracket, one text each."""
    depth, starts = 0, []
    for found in TOKEN.finditer(sql):
        depth += (found[0] == "(") - (found[0] == ")")
        if depth == 0 and found[0].lower().endswith("join"):
            starts.append(found.start())
    return [sql[start:end].strip() for start, end in pairwise([*starts, len(sql)])]


def _outside_brackets(sql: str) -> str:
    depth, said = 0, []
    for part in re.split(r"([()])", sql):
        depth += (part == "(") - (part == ")")
        said += [part] * (depth == 0 and part not in "()")
    return " ".join(said)
