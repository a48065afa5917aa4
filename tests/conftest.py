"""What several kinds of tests share: one finished demo study, made once."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from pipelines import study

Restage = Callable[..., "subprocess.CompletedProcess[str]"]
HANGS = 1800  # seconds after which a command is given up; how long it takes beside others says nothing


def _restage(*arguments: str | Path, timeout: float = HANGS) -> "subprocess.CompletedProcess[str]":
    code = "from pipelines.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=timeout, check=False
    )


@pytest.fixture(scope="session")
def restage() -> Restage:
    """The command as a process of its own: exit code, standard output and standard error."""
    return _restage


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> tuple[Path, str]:
    """Home of the reference study after `restage demo`, and what the command printed; nobody writes into it."""
    shared = tmp_path_factory.getbasetemp().parent if worker_id != "master" else tmp_path_factory.getbasetemp()
    home, printed = shared / "demo_home", shared / "demo_printed.txt"
    with FileLock(str(shared / "demo.lock")):
        if not printed.exists():
            done = _restage("demo", "--home", home)
            assert done.returncode == 0, done.stdout + done.stderr
            printed.write_text(done.stdout, encoding="utf-8")
    return home, printed.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def demo_home(demo_run: tuple[Path, str]) -> Path:
    return demo_run[0]


@pytest.fixture
def show_study(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Show a folder in place of `study/`: declarations are read from it, and afterwards from `study/` again."""

    def forget() -> None:
        for read in vars(study).values():
            if hasattr(read, "cache_clear"):
                read.cache_clear()

    def show(folder: Path) -> None:
        monkeypatch.setattr(study, "STUDY", folder)
        forget()

    yield show
    monkeypatch.undo()
    forget()
