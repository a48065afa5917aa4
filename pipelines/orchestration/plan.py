"""What a run has to do: compares the archive, the mappings and the code with what the warehouse was made from.

Imports neither dagster nor any other heavy library: a run with nothing to do ends here.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pipelines import study
from pipelines.deliveries import acceptances, ledger
from pipelines.deliveries.ledger import Delivery
from pipelines.warehouse import Home, write_whole

MARK = "made_from.json"  # in staged/<centre>/: the version and the deliveries that its rows come from
CENTRES = study.ROOT / "centres"
CODE = ("sql", "study", "expectations", "pipelines")
NOT_MAPPING = ("export.yaml", "defects.yaml")  # what only the simulator reads
NOT_CODE = ("pipelines/simulate", "pipelines/cli", "study/operation.yaml", "__pycache__")


@dataclass(frozen=True)
class Plan:
    """What is to be done for which centre.

    `pending` deliveries have not been looked into under the present mapping; `changed` centres' rows differ from those
    in the warehouse (or may do so, as long as a delivery is pending); `full` makes every table anew.
    """

    pending: Mapping[str, tuple[Delivery, ...]]
    changed: tuple[str, ...]
    full: bool
    versions: Mapping[str, str]

    @property
    def nothing(self) -> bool:
        return not (self.pending or self.changed or self.full)


def digest(root: Path, paths: Iterable[Path]) -> str:
    """One sha256 over the names and bytes of files."""
    total = hashlib.sha256()
    for path in sorted(paths):
        content = path.read_bytes()
        total.update(f"{path.relative_to(root).as_posix()}\t{len(content)}\n".encode())
        total.update(content)
    return total.hexdigest()


@cache
def code_version() -> str:
    """Changes with the SQL, the study's declarations, the rules and the machine; not with the simulator."""
    files = (p for folder in CODE for p in (study.ROOT / folder).rglob("*") if p.is_file())
    made = digest(study.ROOT, (p for p in files if not any(part in p.as_posix() for part in NOT_CODE)))
    return f"{made} protocol {study.protocol_version()}"


def centre_version(folder: Path) -> str:
    """Changes with the code and with a centre's own mapping (its YAML but the simulator's, and its SQL)."""
    own = [p for p in folder.iterdir() if p.suffix in (".yaml", ".sql") and p.name not in NOT_MAPPING]
    return hashlib.sha256((code_version() + digest(folder, own)).encode()).hexdigest()


def centre_folders(root: Path = CENTRES) -> dict[str, Path]:
    """The centres by name, each a folder with a mapping; `_template` is none."""
    return {path.parent.name: path.parent for path in sorted(root.glob("[!_.]*/centre.yaml"))}


def make_plan(home: Home, root: Path = CENTRES) -> Plan:
    """What has to be done so that the warehouse agrees with archive, mappings and code."""
    versions = {name: centre_version(folder) for name, folder in centre_folders(root).items()}
    pending: dict[str, tuple[Delivery, ...]] = {}
    for delivery in ledger.read(home):
        version = versions.get(delivery.centre)
        again = delivery.state == "rejected" and delivery.readable and delivery.judged_by != version
        if version and (delivery.state == "received" or again):
            pending[delivery.centre] = (*pending.get(delivery.centre, ()), delivery)
    made_from = read_state(home)
    full = (
        not made_from.get("complete")
        or made_from.get("code") != code_version()
        or not home.database.exists()
        or not home.reports.exists()
        or home.withdrawing.exists()
    )
    changed = tuple(c for c in versions if c in pending or should_be(home, c, versions[c]) != _made(made_from, c))
    gone = made_from.get("centres", {}).keys() - versions.keys()
    nothing_there = not pending and not any(d.state == "accepted" for d in ledger.read(home))
    return Plan(pending, changed, (full or bool(gone)) and not nothing_there, versions)


def concerned(home: Home, plan: Plan) -> list[str]:
    """The centres whose deliveries are new or were not staged by this code yet."""
    sending = {d.centre for d in ledger.read(home)} | {path.name for path in home.staged.glob("[!_.]*")}
    return [c for c in plan.versions if c in sending and (plan.full or c in plan.changed)]


def should_be(home: Home, centre: str, version: str) -> str:
    """The deliveries, decisions and version that a centre's rows should come from; empty when it has none."""
    return _one(version, [d.delivery_id for d in ledger.chain(home, centre)], _decided(home, centre))


def staged_from(home: Home, centres: Iterable[str]) -> dict[str, str]:
    """The deliveries, decisions and version that each centre's staged rows do come from."""
    marks = {centre: read_json(home.staged / centre / MARK) for centre in centres}
    return {c: _one(mark["version"], mark["chain"], _decided(home, c)) if mark else "" for c, mark in marks.items()}


def _decided(home: Home, centre: str) -> list[str]:
    """What changes a query and no row: the same files sent again, and what was accepted."""
    repeated = [d.delivery_id for d in ledger.repeats(home, centre)]
    return repeated + [f"{a.query_id} {a.value_hash}" for a in acceptances.read(home) if a.centre == centre]


def _one(version: str, chain: Iterable[str], decided: Iterable[str]) -> str:
    chain = list(chain)
    return hashlib.sha256("\n".join([version, *chain, *decided]).encode()).hexdigest() if chain else ""


def _made(state: Mapping[str, Any], centre: str) -> str:
    return str(state.get("centres", {}).get(centre, ""))


def read_state(home: Home) -> dict[str, Any]:
    """What the warehouse was made from, as the last run wrote it; empty before the first one."""
    return read_json(home.root / "state.json")


def read_json(path: Path) -> dict[str, Any]:
    """A file of our own; one that is absent, or that a power cut left empty, says nothing."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError):
        return {}


def write_state(home: Home, made: Mapping[str, str], complete: bool) -> None:
    """Note what the warehouse is made from. A run that is cut off leaves `complete` false: the next one does all."""
    state = {"code": code_version(), "centres": made, "complete": complete}
    write_whole(home.root / "state.json", json.dumps(state, indent=1, sort_keys=True) + "\n")
