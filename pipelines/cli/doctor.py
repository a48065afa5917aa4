"""`restage doctor`: what is wrong with a home, and what to do."""

from typing import Annotated

import typer

from pipelines.cli.console import DEFAULT_HOME, HomeOption, JsonOption, answering, home_of, progress

MARKS = {"ok": "ok   ", "note": "note ", "wrong": "WRONG"}


def doctor(
    home: HomeOption = DEFAULT_HOME,
    deep: Annotated[bool, typer.Option("--deep", help="Read every archived file and compare its sha256.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Look for what can be wrong with a study's home; each finding says what to do. Exit 1 where something is wrong.

    Nothing is changed. Examples:
      restage doctor --home /srv/study
      restage doctor --deep
    """
    from pipelines.orchestration.doctor import examine

    with answering(as_json) as answer:
        with progress("Looking"):
            found = examine(home_of(home), deep)
        answer["findings"] = [f.row() for f in found]
        for f in found:
            print(f"{MARKS[f.state]}  {f.check}: {f.what}")
            if f.advice:
                print(f"       -> {f.advice}")
        if any(f.state == "wrong" for f in found):
            raise typer.Exit(1)
