"""`restage watch`: the daemon that starts runs by itself."""

from pipelines.cli.console import DEFAULT_HOME, HomeOption, home_of
from pipelines.cli.ui import serve


def watch(home: HomeOption = DEFAULT_HOME) -> None:
    """Take in deliveries as they come and bring everything up to date every night, without a browser.

    A delivery counts once its files have been still for a while; `study/operation.yaml` says how long, and the hour of
    the night. Stop it with Ctrl-C: a run that is at work is ended, and done again when this is started again.

    Example: restage watch --home /srv/study
    """
    place = home_of(home)
    print(f"Watching {place.inbox} (stop with Ctrl-C)", flush=True)
    serve(place, None)
