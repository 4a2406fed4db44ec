"""What lies in files, while a fleet writes them and when it has ended."""

from contextlib import suppress
from pathlib import Path


def contents(folder: Path) -> dict[Path, bytes]:
    """What is in all files below a folder; those that go meanwhile are left out."""
    found: dict[Path, bytes] = {}
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            if path.is_file():
                found[path] = path.read_bytes()
    return found
