"""Every table of a sample export: what format each file has is detected, here and only here."""

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from pipelines.errors import UnreadableFile, UsageError
from pipelines.profile import look_dicom, look_fhir, look_odm
from pipelines.profile.look import look
from pipelines.profile.seen import Seen
from pipelines.profile.vocabulary import Vocabulary
from pipelines.readers.dicom import FIRST_GROUPS

HEAD = 512
DICOM, XML, JSON, OTHER = "dicom", "odm", "fhir", ""


def look_all(paths: Sequence[Path], known: Vocabulary) -> tuple[list[Seen], list[str]]:
    """Every table of some files, and their sheets that are none. Raises `UsageError` for what cannot be read."""
    by_format: dict[str, list[Path]] = {}
    for path in paths:
        by_format.setdefault(_format(path), []).append(path)
    found: list[Seen] = []
    skipped: list[str] = []
    for path in by_format.pop(OTHER, []):
        seen, without_names = look(path)
        found += seen
        skipped += without_names
    looks: dict[str, Callable[[Sequence[Path]], list[Seen]]] = {
        XML: look_odm.look, JSON: lambda many: look_fhir.look(many, known.paths), DICOM: look_dicom.look,
    }  # fmt: skip
    for form, many in by_format.items():
        try:
            found += looks[form](many)
        except UnreadableFile as error:
            raise UsageError("\n".join(map(str, error.problems))) from error
    return found, skipped


def _format(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(HEAD)
    if head[128:132] == b"DICM" or head[:2] in FIRST_GROUPS:
        return DICOM
    if (
        head.startswith(b"PK")
        and zipfile.is_zipfile(path)
        and "xl/workbook.xml" not in zipfile.ZipFile(path).namelist()
    ):
        raise UsageError(f"{path.name}: an archive. Unpack it, and profile the folder.")
    # without byte order mark, and without what two bytes a letter put between
    first = head.lstrip(b"\xef\xbb\xbf\xff\xfe \r\n\0").replace(b"\0", b"")
    return XML if first.startswith(b"<") else JSON if first.startswith(b"{") else OTHER
