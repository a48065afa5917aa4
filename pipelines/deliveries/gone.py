"""What the ledger says that a delivery no longer holds leaves archive and inbox."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from threading import Lock

from pipelines.deliveries import ledger
from pipelines.deliveries.inbox import entries, sha256_of, signature_of, waiting
from pipelines.deliveries.ledger import Delivery
from pipelines.deliveries.parts import beside
from pipelines.deliveries.seen import spoken, write_seen
from pipelines.warehouse import Home

ONE_BY_ONE = Lock()  # centres are taken in side by side


def letting_go(home: Home, centre: str) -> Path:
    """Lies in the archive while the ledger says more than what was done; unlike a draft it outlives its run."""
    return home.archive / f"letting-go-{centre}"


def finish(home: Home) -> None:
    """Let go what the ledger says is gone, where a run was cut off before it could."""
    for marker in sorted(home.archive.glob("letting-go-*")):
        let_go(home, (d for d in ledger.read(Home(home.root)) if marker == letting_go(home, d.centre)))
        marker.unlink(missing_ok=True)


def let_go(home: Home, deliveries: Iterable[Delivery]) -> None:
    """Take out of archive and inbox what the ledger says that these deliveries no longer hold."""
    gone: set[str] = set()
    for each in deliveries:
        if lost := _lost(each):
            _forget_in_inbox(home, each, lost)
            gone.update(*lost.values())
    still = {f["sha256"] for d in ledger.read(Home(home.root)) for f in d.files.values()}
    for old in gone - still:
        ledger.object_path(home, old).unlink(missing_ok=True)


def _lost(delivery: Delivery) -> dict[str, set[str]]:
    """Names of files, with the sums of what they held and no longer hold."""
    lost = {name: {*str(about["was"]).split()} for name, about in delivery.files.items() if "was" in about}
    return lost | {name: {sha256} for name, sha256 in delivery.erased.items()}


def _sums(delivery: Delivery) -> list[tuple[str, set[str]]]:
    """Names of files, with the sums of all that they ever held."""
    held = {name: {str(about["sha256"])} for name, about in delivery.files.items()}
    return [*_lost(delivery).items(), *held.items()]


def _forget_in_inbox(home: Home, delivery: Delivery, lost: dict[str, set[str]]) -> None:
    """Let the inbox hold what the archive now holds. Where a file lies there that did not come with the delivery, it is
    another one, which is not taken in yet or speaks for itself."""
    places = (p for centre, p in waiting(home) if centre == delivery.centre and spoken(p.name) == delivery.name)
    if (folder := next(places, None)) is None:
        return
    files = ((name, path) for name, path in entries(folder) if path.is_file() and not path.is_symlink())
    there = {spoken(name): path for name, path in files if os.access(path, os.R_OK)}
    came = [(name, sha256) for d in (delivery, *beside(home, delivery)) for name, sums in _sums(d) for sha256 in sums]
    sums = {name: sha256_of(path) for name, path in there.items()}
    if not {*sums.items()} <= {*came}:
        return
    for name in lost.keys() & sums.keys():
        if sums[name] in lost[name]:
            there[name].unlink()
            if name in delivery.files:
                shutil.copyfile(ledger.object_path(home, str(delivery.files[name]["sha256"])), there[name])
    with ONE_BY_ONE:
        place, seen = f"{delivery.centre}/{folder.name}", ledger.seen(home)
        seen.pop(place, None)
        write_seen(home, seen | ({place: signature_of(folder)} if folder.exists() else {}))
