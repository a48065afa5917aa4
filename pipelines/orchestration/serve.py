"""Dagster's own processes over a home: the daemon, which starts runs, and the webserver, which shows them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from types import FrameType

from pipelines import study
from pipelines.errors import UsageError
from pipelines.orchestration.execute import prepare_dagster
from pipelines.warehouse import Home

DAEMON = ("dagster._daemon", "run", "-w", "workspace.yaml")
WEBSERVER = ("dagster_webserver", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p")
LOOK_SECONDS = "600"  # a large delivery is read once before its run is asked for
END_SECONDS = 60


def serve(home: Home, port: int | None, say: Callable[[str], None]) -> int:
    """Run the daemon, and with a port the webserver, until one ends or somebody ends this process; its exit code.

    One home has one daemon: where it runs already, it goes on, and this process takes its place when it ends. Raises
    `UsageError` where the port cannot be had.
    """
    if port is not None:
        _probe(port)
    if not home.root.exists():
        say(f"{home.root}: a new home, as there was none.")
    prepare_dagster(home)
    os.environ.setdefault("DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS", LOOK_SECONDS)
    started: list[subprocess.Popen[bytes]] = []

    def watching() -> bool:
        handle = _only_daemon(home)
        if handle is None:
            return False
        # it inherits the lock, which so lasts as long as the daemon, whatever becomes of this process
        started.append(_start(DAEMON, (handle,)))
        os.ftruncate(handle, 0)
        os.write(handle, f"{started[-1].pid}\n".encode())
        os.close(handle)
        return True

    if not (daemon := watching()):
        process = (home.dagster / "daemon.lock").read_text(encoding="ascii").strip()
        by = f" (process {process})" if process else ""
        say(f"The daemon of this home runs already{by}; this one takes its place when it ends.")
    if port is not None:
        started.append(_start((*WEBSERVER, str(port))))
        say(f"http://127.0.0.1:{port} (stop with Ctrl-C)")
    return _watch(started, daemon, watching)


def _probe(port: int) -> None:
    """Whether the webserver will get its port is known before anything is started."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the webserver does
        try:
            trial.bind(("127.0.0.1", port))
        except OSError as error:
            said = (error.strerror or str(error)).lower()
            raise UsageError(f"port {port} of this machine: {said}. Name another one with --port.") from None


def _start(command: tuple[str, ...], inherited: tuple[int, ...] = ()) -> "subprocess.Popen[bytes]":
    # in a group of its own, so that Ctrl-C reaches this process alone, which then ends its children in order
    return subprocess.Popen([sys.executable, "-m", *command], cwd=study.ROOT, pass_fds=inherited, process_group=0)


def _watch(started: "list[subprocess.Popen[bytes]]", daemon: bool, watching: Callable[[], bool]) -> int:
    """Until one of these ends or somebody ends this process; as long as the daemon is not among them, it is tried."""
    ending = []

    def end(number: int, _: FrameType | None) -> None:
        ending.append(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    while not ending and all(process.poll() is None for process in started):
        daemon = daemon or watching()
        time.sleep(0.2)
    code = next((process.returncode for process in started if process.returncode), 0)
    for process in started:
        process.send_signal(signal.SIGINT)
    for process in started:
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return 0 if ending else int(code != 0)


def _only_daemon(home: Home) -> int | None:
    """The open lock of the home's daemon, to be handed on to it; None where another daemon has it."""
    import fcntl

    handle = os.open(home.dagster / "daemon.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle
