"""The reference of tables, endpoints and protocol numbers: `python -m pipelines.reference` writes it."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pipelines import models, study
from pipelines.study_schema import endpoint_steps

FOLDER = study.ROOT / "docs" / "reference"
WRITTEN = "Written from {} by `python -m pipelines.reference`."
LAYERS = {
    "harmonised": "All centres in one shape: one table a subject matter, subjects linked by their study code.",
    "assessed": "Lesions, sums, responses and progressions by RECIST 1.1, each with its reason; blind to eligibility.",
    "validated": "What the rules found, what became of each query, and who is eligible.",
    "derived": "The analysis data: subjects, dates, times to event, adverse events, irradiated sites.",
    "reports": "What is printed and drawn.",
}
ROLES = {"start": "begins with", "event": "ends with", "censor": "is censored at"}


def pages() -> dict[str, str]:
    """The pages by file name, below `docs/reference`."""
    found = {f"tables/{layer}.md": "\n".join(_layer(layer)) for layer in LAYERS}
    return found | {"endpoints.md": "\n".join(_endpoints()), "protocol.md": "\n".join(_protocol())}


def _layer(layer: str) -> Iterator[str]:
    yield f"# Schema {layer}\n\n{LAYERS[layer]} {WRITTEN.format('`study/tables/` and the headers of `sql/`')}\n"
    for name, table in sorted(study.tables().items()):
        if table.schema != layer:
            continue
        yield f"## {name}\n\n{table.label}: {table.grain}.\n"
        model = models.load().get(name)
        if model:
            why, source = model.header.get("why"), model.header.get("source")
            yield f"- made by `{model.path.relative_to(study.ROOT)}`" + (f": {why}" if why else "")
            if source:
                yield f"- source: {source}"
            yield "- reads: " + (", ".join(_link(d) for d in model.deps) or "nothing")
        yield f"- key: {', '.join(f'`{k}`' for k in table.key)}\n"
        rows = ([f"`{c.name}`", _kind(c), c.label, c.cdisc or ""] for c in table.columns)
        yield from _table(("column", "type", "meaning", "CDISC"), rows)


def _kind(column: study.Column) -> str:
    more = column.unit or (f"codes of `{column.codelist}`" if column.codelist else "")
    return f"{column.type}, {more}" if more else column.type


def _link(full_name: str) -> str:
    schema, name = full_name.split(".")
    return f"[{full_name}]({schema}.md#{schema}{name})" if full_name in study.tables() else f"`{full_name}`"


def _endpoints() -> Iterator[str]:
    made = WRITTEN.format("`study/endpoints/` and `study/sensitivity/`")
    yield f"# Endpoints\n\nTimes to an event, one file each. {made}\n"
    for e in study.endpoints():
        yield f"## {e['paramcd']}\n\n{e['param']}. `study/endpoints/{e['paramcd'].lower()}.yaml`\n"
        yield from _table(("the time", "date", "said of it"), _steps(e["paramcd"]))
    yield "## Sensitivity analyses\n\nEach changes what its file names and nothing else.\n"
    rows = (
        [f"`{a['analysis']}`", a["title"], a["why"], ", ".join(sorted({*a.get("of", ()), *a.get("sum_of", ())}))]
        for a in study.sensitivity()
    )
    yield from _table(("analysis", "what is done otherwise", "why", "of"), rows)


def _steps(paramcd: str) -> Iterator[Sequence[str]]:
    for step in endpoint_steps():
        if step[0] == paramcd:
            role, _, date, description, _ = step[4:]
            yield [ROLES[role], f"`{date}`", description]


def _protocol() -> Iterator[str]:
    made = WRITTEN.format("`study/protocol.yaml`")
    yield f"# Numbers of the protocol\n\nEvery clinical number once, with its source. {made}\n"
    rows = (
        [f"`{name}`", _value(p["value"]), str(p.get("unit", "")), str(p["citation"]), str(p["since"])]
        for name, p in study.protocol().items()
    )
    yield from _table(("parameter", "value", "unit", "source", "since version"), rows)
    yield "## Contested points\n\nThe text can be read in more than one way; the study's reading stands first.\n"
    yield from _table(
        ("parameter", "readings"), ([f"`{n}`", ", ".join(map(str, found))] for n, found in study.readings().items())
    )


def _value(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |\n|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


def write(folder: Path = FOLDER) -> None:
    for name, text in pages().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text.rstrip("\n") + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
