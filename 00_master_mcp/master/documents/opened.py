"""Where a hub's documents are: in its data folder, or in the database that it is given."""

from pathlib import Path

import structlog

from master.database.opened import KEY, place_of
from master.documents.files import FileDocuments
from master.documents.postgres import PostgresDocuments
from master.documents.seam import Documents

log = structlog.get_logger(__name__)


def open_documents(database_url: str | None, folder: Path) -> Documents:
    """The documents of this hub; Misconfigured where the URL is not one of PostgreSQL."""
    if database_url is None:
        return FileDocuments(folder)
    place = place_of(database_url, folder)
    left = sorted(path.name for path in folder.glob("*.json"))
    if left:
        log.warning("documents_in_files_are_unused", files=left, reason=f"{KEY} is set")
    return PostgresDocuments(place)
