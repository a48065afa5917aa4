"""The reference of the rules, written from their files: `python -m pipelines.rules.pages`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines import study
from pipelines.rules.load import Rule, load_rules

FOLDER = study.ROOT / "docs" / "reference" / "rules"
FAMILIES = {
    "structure": "Whether the files hold what was agreed: columns, types, codes, dates, records that belong together.",
    "eligibility": "Each criterion of the protocol. Who fails one is not analysed; without an answer: undetermined.",
    "recist": "Tumour assessments by RECIST 1.1, and what was reported beside what follows from the measurements.",
    "radiotherapy": "Courses, fractions, doses and the relation of a recurrence to the irradiated volume.",
    "ctcae": "Adverse events by CTCAE v4.0.",
    "linkage": "What the oncology and the radiotherapy centre of a patient say about each other.",
    "plausibility": "Values that can be read and that no patient has.",
}
SEVERITIES = {
    "stop": "rejects the delivery", "exclude": "takes the patient out of the analysis and asks the centre",
    "query": "asks the centre", "note": "is counted and shown, nobody has to answer",
}  # fmt: skip
WRITTEN = "Written from `expectations/` by `python -m pipelines.rules.pages`."
KINDS = {"passes": "passes", "fails": "fails", "unknown": "cannot be judged", "not_applicable": "is not checked"}


def pages() -> dict[str, str]:
    """The pages by file name: one per family, and `README.md` with every rule in a line."""
    families: dict[str, list[Rule]] = {}
    for rule in load_rules():
        families.setdefault(rule.family, []).append(rule)
    found = {f"{family}.md": "\n".join(_family(family, rules)) for family, rules in families.items()}
    return found | {"README.md": "\n".join(_index(families))}


def _index(families: Mapping[str, Sequence[Rule]]) -> Iterator[str]:
    yield "# The rules\n"
    yield f"What must be true of the data; one file each in `expectations/<family>/`. {WRITTEN}\n"
    yield from _table(("severity", "what it does"), ([f"`{name}`", text] for name, text in SEVERITIES.items()))
    for family, about in FAMILIES.items():
        rules = families.get(family, ())
        yield f"## [{family}]({family}.md): {len(rules)} rules\n\n{about}\n"
        lines = ([f"[{r.name}]({family}.md#{r.name})", r.severity, r.title["en"], r.title["it"]] for r in rules)
        yield from _table(("rule", "severity", "what must be true", "che cosa deve essere vero"), lines)


def _family(family: str, rules: Iterable[Rule]) -> Iterator[str]:
    yield f"# Rules of the family {family}\n\n{FAMILIES[family]} {WRITTEN} `t` is the checked row, `p` the protocol.\n"
    for rule in rules:
        # the name is the anchor, the titles are what is read
        yield f"## {rule.name}\n\n**{rule.title['en']}**  \n*{rule.title['it']}*\n"
        yield from _table(("", ""), _facts(rule))
        for word, texts in (("message", rule.message), ("what to do", rule.suggestion)):
            yield f"- {word}: {_plain(texts['en'])}\n- *{_plain(texts['it'])}*"
        yield ""
        if rule.examples:
            cases = [(KINDS[kind], case) for kind, listed in rule.examples.items() for case in listed]
            columns = list(dict.fromkeys(name for _, case in cases for name in case if name != "with"))
            beside = any("with" in case for _, case in cases)
            lines = (
                [kind, *(_cell(case[c]) if c in case else "" for c in columns), *([_beside(case)] if beside else [])]
                for kind, case in cases
            )
            yield from _table(("example", *columns, *(["beside it"] if beside else [])), lines)


def _facts(rule: Rule) -> Iterator[list[str]]:
    """Source, severity, and what is checked, as SQL."""
    yield ["source", _plain(rule.source)]
    yield ["severity", f"`{rule.severity}`: {SEVERITIES[rule.severity]}"]
    yield ["kind", rule.category]
    yield ["since protocol", rule.since]
    if rule.raised_by:
        yield ["checked", f"{rule.grain}, while the files are read"]
        return
    yield ["checked", f"{rule.grain}: `{rule.table}`"]
    if rule.native:
        kwargs = ", ".join(f"{k} = {v}" for k, v in rule.native["kwargs"].items())
        yield ["by Great Expectations", f"`{rule.native['type']}` ({_plain(kwargs)})"]
    for word, sql in (
        ("joined with", rule.joins), ("applies when", rule.applies_when if rule.applies_when != "true" else ""),
        ("fails when", rule.fails_when if rule.fails_when != "false" else ""),
        ("cannot be judged when", rule.unknown_when if rule.unknown_when != "false" else ""),
    ):  # fmt: skip
        if sql:
            yield [word, f"`{_plain(sql)}`"]
    if rule.waits_for:
        yield ["asks nothing while there is a question about", ", ".join(f"`{w}`" for w in rule.waits_for)]


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    yield from (f"| {' | '.join(line)} |" for line in lines)
    yield ""


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _cell(value: Any) -> str:
    return "none" if value is None else _plain(str(value))


def _beside(case: Mapping[str, Any]) -> str:
    """The rows of other tables that an example needs."""
    rows = []
    for table, listed in case.get("with", {}).items():
        shown = [", ".join(f"{k} {_cell(v)}" for k, v in row.items()) or "a row" for row in listed[:6]]
        more = f"; {len(listed)} rows in all" if len(listed) > 6 else ""
        rows.append(f"{table.split('.')[1]}: {'; '.join(shown)}{more}")
    return "<br>".join(rows)


def write(folder: Path = FOLDER) -> None:
    """Write the pages into `folder`; one that no family makes any more goes."""
    folder.mkdir(parents=True, exist_ok=True)
    made = pages()
    for path in folder.glob("*.md"):
        if path.name not in made:
            path.unlink()
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
