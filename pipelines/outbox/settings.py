"""Where reports are sent: `<home>/mail.yaml`, checked. Without this file nothing is ever sent."""

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from email.utils import parseaddr
from pathlib import Path
from typing import Any

from pipelines.errors import RestageError
from pipelines.warehouse import Home
from pipelines.yaml_schema import Schema, nearest, read, refuse

SCHEMA = Path(__file__).parents[1] / "schemas" / "mail.schema.json"
SUBMISSION = 587  # RFC 6409


@dataclass(frozen=True)
class Receiver:
    """Who gets a centre's reports and what opens them: public keys of age, or a pass phrase and where it lies."""

    to: tuple[str, ...]
    age: tuple[str, ...]
    pass_phrase: Mapping[str, str]


@dataclass(frozen=True)
class Mail:
    """The server, how it is spoken to (`tls`: starttls, implicit or none), and the receivers by centre."""

    home: Home
    host: str
    port: int
    tls: str
    ca: str
    user: str
    password: Mapping[str, str]
    sender: str
    receivers: Mapping[str, Receiver]

    @property
    def domain(self) -> str:
        """The sender's domain: what this machine calls itself before the server, in place of its own name."""
        return parseaddr(self.sender)[1].rpartition("@")[2]


def load(home: Home, centres: Collection[str]) -> Mail | None:
    """`mail.yaml` of a home; None where there is none. Raises `MappingError` with every problem and its line."""
    path = home.root / "mail.yaml"
    if not path.exists():
        return None
    raw = read(path)
    refuse(path, Schema(json.loads(SCHEMA.read_text(encoding="utf-8"))).errors(raw))
    server = raw["server"]
    problems: list[tuple[tuple[str | int, ...], str]] = [
        (("centres", name), f"{name!r} is not a centre of this study{nearest(name, centres)}")
        for name in raw["centres"]
        if name not in centres
    ]
    if ("user" in server) != ("password" in server):
        problems.append((("server",), "user and password go together"))
    if server.get("tls") == "none" and "user" in server:
        problems.append((("server", "tls"), "a password is not sent without TLS: say starttls or implicit"))
    refuse(path, problems)
    receivers = {name: _receiver(about) for name, about in raw["centres"].items()}
    return Mail(
        home, server["host"], server.get("port", SUBMISSION), server.get("tls", "starttls"), server.get("ca", ""),
        server.get("user", ""), server.get("password", {}), raw["sender"], receivers,
    )  # fmt: skip


def _receiver(about: Mapping[str, Any]) -> Receiver:
    return Receiver(tuple(dict.fromkeys(about["to"])), tuple(about.get("age", ())), about.get("pass_phrase", {}))


def secret(home: Home, where: Mapping[str, str]) -> str:
    """A secret from its file or environment variable; raises `RestageError` that names the place, never the secret."""
    if "env" in where:
        value, place = os.environ.get(where["env"], ""), f"the environment variable {where['env']}"
    else:
        path = home.root / where["file"]
        place = f"the file {where['file']}"
        try:
            value = path.read_text(encoding="utf-8").partition("\n")[0].strip()
        except (OSError, UnicodeDecodeError):
            value = ""
    if not value:
        raise RestageError(f"{place} is missing, empty or cannot be read")
    return value
