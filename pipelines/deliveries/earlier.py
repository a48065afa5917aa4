"""A delivery that only states what changed since the last one stands on the files of those before it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.deliveries import ledger
from pipelines.deliveries.ledger import Delivery
from pipelines.deliveries.rows import File
from pipelines.errors import UnreadableFile
from pipelines.readers import odm
from pipelines.warehouse import Home

if TYPE_CHECKING:
    from pipelines.mapping import Source


def is_transactional(file: File) -> bool:
    """Whether an ODM file holds changes only; one that cannot be read is refused later, with its reason."""
    try:
        return odm.file_type(file.path) == "Transactional"
    except UnreadableFile:
        return False


def in_order(source: "Source", files: Sequence[File]) -> list[File]:
    """Files of one delivery in the order in which they hold: a snapshot before the changes made to it."""
    if source.read["format"] != "odm" or len(files) < 2:
        return list(files)
    return sorted(files, key=is_transactional)


def changes_only(source: "Source", files: Sequence[File]) -> bool:
    """Whether a delivery states no more than changes of a source: transactional files and no snapshot among them."""
    return source.read["format"] == "odm" and bool(files) and all(map(is_transactional, files))


def before(home: Home, delivery: Delivery) -> list[Delivery]:
    """The centre's snapshots that hold before this delivery, the newest first."""
    chain = ledger.chain(home, delivery.centre, {delivery.delivery_id})
    at = next((n for n, d in enumerate(chain) if d.delivery_id == delivery.delivery_id), len(chain))
    return [d for d in chain[:at] if d.state != "answer"][::-1]
