"""The webserver and the daemon of a home, for as long as a test asks."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

START_SECONDS = 180


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def post(address: str, query: str) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{address}/graphql", json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        body = json.load(answer)
    assert "errors" not in body, body
    return dict(body["data"])


@contextmanager
def served(home: Path) -> Iterator[str]:
    """The address of a webserver of its own over this home."""
    port = free_port()
    command = [sys.executable, "-c", "from pipelines.cli.main import main; main()", "ui", "--home", str(home)]
    server = subprocess.Popen(
        [*command, "--port", str(port)],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                post(url, "{ version }")
                break
            except OSError:
                assert server.poll() is None, "the webserver ended"
                assert time.monotonic() < deadline, "the webserver did not answer"
                time.sleep(0.3)
        yield url
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)
