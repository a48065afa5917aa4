"""Files that only grow: the ledger, and the trail of what was accepted."""

import os
from pathlib import Path


def append_line(path: Path, line: str) -> None:
    """Add a line to a file that only grows; a crash can at most leave a last line that is cut off."""
    with path.open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                line = "\n" + line  # after a line that was cut off, or it would go with it
        file.write(f"{line}\n".encode())
        file.flush()
        os.fsync(file.fileno())
