"""A run that goes wrong on purpose: `python -m tests.faults.crash HOME [--kill N] [--delay S] [--room BYTES]`.

The process kills itself at its N-th change of something in the home, or cannot write files above a size, as on a full
disk. Without a fault it prints how many changes there were.
"""

import argparse
import os
import resource
import signal
import sys
import threading
from pathlib import Path
from typing import Any

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.chmod", "shutil.rmtree"}


class Killer:
    """Counts what is about to change in the home; at the N-th change the process ends without a word."""

    def __init__(self, home: Path, at: int, delay: float) -> None:
        self.home, self.at, self.delay, self.n = str(home), at, delay, 0

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        written = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
        if (event in CHANGES or written) and isinstance(args[0], str | Path) and str(args[0]).startswith(self.home):
            self.point()

    def point(self, _: str = "") -> None:
        self.n += 1
        if self.n == self.at and self.delay:  # inside of what comes next, a statement of DuckDB for one
            threading.Timer(self.delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
        elif self.n == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("--kill", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--room", type=int, default=0)
    given = parser.parse_args()
    from pipelines.cli.main import main as restage
    from pipelines.orchestration import session

    killer = Killer(given.home.resolve(), given.kill, given.delay)
    session.listeners.append(killer.point)
    sys.addaudithook(killer)
    if given.room:
        # the soft limit alone: the reader of workbooks sets its own
        resource.setrlimit(resource.RLIMIT_FSIZE, (given.room, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    sys.argv = ["restage", "run", "--home", str(given.home)]
    try:
        restage()
    finally:
        print(f"{killer.n} changes")


if __name__ == "__main__":
    main()
