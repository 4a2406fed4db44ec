"""The audit of this hub: where its rows, its key and its file are."""

from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge

from flotilla.database.database import Database
from flotilla.database.place import Place
from flotilla.redaction import Redactor
from master.audit.book import Book
from master.audit.heads import FOLDER, HeadFile, open_audit_key
from master.audit.settings import AuditSettings
from master.audit.stores import PostgresStore, SqliteStore, Store


def open_book(
    place: Place, database: Database, folder: Path, redactor: Redactor, settings: AuditSettings
) -> Book:
    """The book, to be entered by `running` within the database's `opened`.

    `folder` is the hub's own. Misconfigured where the key that signs cannot be read or made.
    """
    own = folder / FOLDER
    return Book(
        store_of(place, database),
        redactor,
        open_audit_key(own, settings.key),
        HeadFile(own),
        settings,
    )


def store_of(place: Place, database: Database) -> Store:
    if place.is_postgresql:
        return PostgresStore(database)
    assert place.url.database is not None, "a SQLite file has a name"
    return SqliteStore(Path(place.url.database), database)


def show(book: Book, registry: CollectorRegistry) -> None:
    """Gauges of how far the book is behind."""
    waiting = Gauge(
        "mcp_audit_rows_waiting", "Rows of the audit that are not written yet.", registry=registry
    )
    waiting.set_function(lambda: book.waiting)
    writable = Gauge(
        "mcp_audit_up", "1 while the rows of the audit can be written.", registry=registry
    )
    writable.set_function(lambda: 1 - book.is_away)
