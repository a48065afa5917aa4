"""`restage ui`: the Dagster UI of this study on this machine, with the daemon that starts runs."""

from typing import Annotated

import typer

from pipelines.cli.console import DEFAULT_HOME, HomeOption, home_of
from pipelines.warehouse import Home


def ui(
    home: HomeOption = DEFAULT_HOME,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 3000,
) -> None:
    """Show assets, lineage, checks and runs in the browser, and take in deliveries as they come. Stop it with Ctrl-C.

    Nothing leaves this machine. The inbox is watched and the nightly run is started as `restage watch` does it.

    Example: restage ui --home /srv/study --port 3001
    """
    serve(home_of(home), port)


def serve(home: Home, port: int | None) -> None:
    """Run the daemon, and with a port the UI, until they end; exits with 1 when one of them ended by itself."""
    from pipelines.orchestration.serve import serve as run

    code = run(home, port, lambda text: print(text, flush=True))
    if code:
        raise typer.Exit(code)
