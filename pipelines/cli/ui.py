"""`restage ui`: the Dagster UI of this study on this machine."""

import os
import sys
from typing import Annotated

import typer

from pipelines import study
from pipelines.cli.console import DEFAULT_HOME, HomeOption, home_of


def ui(
    home: HomeOption = DEFAULT_HOME,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 3000,
) -> None:
    """Show assets, lineage, checks and runs in the browser; nothing leaves this machine. Stop it with Ctrl-C."""
    from pipelines.orchestration.execute import prepare_dagster

    prepare_dagster(home_of(home))
    print(f"http://127.0.0.1:{port} (stop with Ctrl-C)", flush=True)
    os.chdir(study.ROOT)
    webserver = ["-m", "dagster_webserver", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)]
    os.execv(sys.executable, [sys.executable, *webserver])
