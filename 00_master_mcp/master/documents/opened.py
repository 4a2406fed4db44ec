"""Where a hub's documents are: in its data folder, or in the database that it is given."""

from pathlib import Path

import structlog

from flotilla import Misconfigured
from master.documents.files import FileDocuments
from master.documents.seam import Documents

log = structlog.get_logger(__name__)

SCHEMA = "flotilla_hub"
_KEY = "FLOTILLA_DATABASE_URL"


def open_documents(database_url: str | None, folder: Path) -> Documents:
    """The documents of this hub; Misconfigured where the URL is not one of PostgreSQL."""
    if database_url is None:
        return FileDocuments(folder)
    # A hub alone does without what speaks to databases, which takes 30 MB.
    from flotilla.database.place import read_place
    from master.documents.postgres import PostgresDocuments

    place = read_place(database_url, SCHEMA, _KEY)
    if not place.is_postgresql:
        raise Misconfigured(f"{_KEY}: hubs share a PostgreSQL, not a {place.url.drivername}")
    left = sorted(path.name for path in folder.glob("*.json"))
    if left:
        log.warning("documents_in_files_are_unused", files=left, reason=f"{_KEY} is set")
    return PostgresDocuments(place)
