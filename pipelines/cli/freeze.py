"""`restage freeze`: the database lock."""

import os
import subprocess
import sys
from typing import Annotated, Any

import typer

from pipelines.cli.console import DEFAULT_HOME, HomeOption, JsonOption, alone, answering, progress, study_of
from pipelines.errors import RestageError, UsageError
from pipelines.warehouse import Home


def freeze(
    name: Annotated[str, typer.Argument(help="A name for this state, such as primary-analysis-2026.")],
    home: HomeOption = DEFAULT_HOME,
    by: Annotated[str | None, typer.Option(metavar="NAME", help="Who signs off the quality of the data.")] = None,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="What the state is frozen for.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Derive a frozen state again and compare.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Lock the database: keep deliveries, code and protocol version, tables and reports under one name and hash.

    A publication cites the name with its hash. With --verify the state is derived again from the archive under the
    protocol version that held then, and every table is compared; exit 1 where one differs.

    Examples:
      restage freeze primary-2026 --by "A. Rossi" --reason "Primary analysis"
      restage freeze --verify primary-2026
    """
    with answering(as_json) as answer:
        place = study_of(home)
        if verify:
            _verify(place, name, answer)
        else:
            _freeze(place, name, by, reason, answer)


def _freeze(home: Home, name: str, by: str | None, reason: str | None, answer: dict[str, Any]) -> None:
    from pipelines import freeze as lock
    from pipelines.orchestration.plan import code_version, make_plan

    if not (by and by.strip() and reason and reason.strip()):
        raise UsageError("Who signs off, and what for? Add --by NAME and --reason TEXT.")
    with alone(home):
        if not make_plan(home).nothing:
            raise UsageError(f"{home.root} is not up to date. Run `restage run --home {home.root}` first, then freeze.")
        with progress(f"Freezing {name}"):
            about = lock.freeze(home, name, by.strip(), reason.strip(), code_version())
    answer |= {key: about[key] for key in ("name", "hash", "by", "reason", "frozen", "protocol", "queries_not_closed")}
    answer |= {"deliveries": len(about["deliveries"]), "tables": len(about["tables"])}
    print(f"{name}: {len(about['deliveries'])} deliveries, {len(about['tables'])} tables, protocol {about['protocol']}")
    if about["queries_not_closed"]:
        print(f"{about['queries_not_closed']} queries to centres are not closed; the number is kept with the state.")
    print(f"Cite it as: {name}, sha256 {about['hash']}")


def _verify(home: Home, name: str, answer: dict[str, Any]) -> None:
    from pipelines import freeze as lock
    from pipelines.orchestration.plan import code_version

    about = lock.read(home, name)
    # what is at work beside it would change the archive under it, and could not take a subject out of its scratch
    with alone(home), progress(f"Deriving {name} again"):
        wrong, n = lock.verify(home, name, _make)
    other_code = about["code"].split()[0] != code_version().split()[0]
    answer |= {"name": name, "hash": about["hash"], "equal": not wrong, "tables": n, "differences": wrong}
    answer |= {"other_code": other_code, "amended": about["amended"]}
    for line in wrong:
        print(line)
    if other_code:
        print("It was frozen by another version of the code than this one.")
    for change in about["amended"]:
        print(f"Amended on {change['when'][:10]}: {change['why']}. It was sha256 {change['was']}")
    if wrong and about["amended"]:
        print("What counts or ranks subjects, or names the files that were written anew, has to differ since then.")
    if wrong:
        raise typer.Exit(1)
    print(f"{name}: all {n} tables derived anew are equal. sha256 {about['hash']}")


def _make(scratch: Home, protocol: str) -> None:
    """The line over a scratch home in a process of its own, because the protocol version holds for a whole process."""
    from pipelines.orchestration.plan import read_state

    command = [sys.executable, "-c", "from pipelines.cli.main import main; main()", "run", "--home", str(scratch.root)]
    done = subprocess.run(
        command, env={**os.environ, "RESTAGE_PROTOCOL": protocol}, capture_output=True, text=True, check=False
    )
    # a delivery that was rejected then is rejected again (3), a rule that could not run then cannot now (1)
    if not read_state(scratch).get("complete"):
        raise RestageError(f"It could not be derived again. {done.stderr.strip().splitlines()[-1:]}")
