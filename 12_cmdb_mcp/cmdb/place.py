"""Where the items are kept: the spoke's own file, or what its setting names."""

from pathlib import Path

from flotilla.database.place import Place, read_place, sqlite_place

FILE_NAME = "cmdb.sqlite3"
_KEY = "CMDB_DATABASE_URL"


def file_place(folder: Path, schema: str) -> Place:
    """The embedded database in `folder`."""
    return sqlite_place(str(folder / FILE_NAME), schema, _KEY)


def place_of(url: str, schema: str) -> Place:
    """The place that a URL names; Misconfigured where it is none of ours."""
    return read_place(url, schema, _KEY)
