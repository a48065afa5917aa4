"""`restage backup` and `restage restore`: the state of a study in one file, and back."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.console import DEFAULT_HOME, HomeOption, JsonOption, alone, answering, home_of, progress


def backup(
    to: Annotated[
        Path, typer.Option("--to", metavar="FILE", help="The file to write, such as study-2026-11-25.tar.gz.")
    ],
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Write what cannot be made again into one file: deliveries, ledger, answers, keys, frozen states, outboxes.

    Tables and reports are left out, because a run makes them from the archive. The file holds patients' data and the
    key of the list of withdrawn subjects: keep it as you keep the home.

    Example: restage backup --home /srv/study --to /backups/study-2026-11-25.tar.gz
    """
    from pipelines import backup as care

    with answering(as_json) as answer:
        place = home_of(home)
        # a ledger that grows while it is copied would make a backup that is not whole
        with alone(place) if place.root.is_dir() else nullcontext(), progress(f"Writing {to.name}"):
            about = care.backup(place, to)
        n, size = len(about["files"]), to.stat().st_size
        answer |= {"file": to.resolve(), "files": n, "bytes": size, "made": about["made"]}
        print(f"{to}: {n} files, {size / 2**20:.1f} MiB. Restore it with: restage restore {to} --home NEW")


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `restage backup` wrote.")],
    home: HomeOption = DEFAULT_HOME,
    withdrawn_from: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="What is left of the old home, where subjects withdrew after the backup."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a new home from a backup, then bring all tables and reports up to date.

    The home must be empty or not exist. Every file is compared with its sha256 first. Who withdrew after the backup was
    made is still in it: name the old home with --withdrawn-from, or withdraw the subjects again.

    Example: restage restore /backups/study-2026-11-25.tar.gz --home /srv/study-new
    """
    from pipelines import backup as care
    from pipelines.cli.run import bring_up_to_date, finish

    with answering(as_json) as answer:
        place = home_of(home)
        with progress(f"Reading {file.name}"):
            about = care.restore(file, place, withdrawn_from)
        answer |= {"files": len(about["files"]), "made": about["made"]}
        print(f"{place.root}: {len(about['files'])} files as of {about['made'][:16].replace('T', ' ')} UTC")
        finish(bring_up_to_date(place, answer=answer))
