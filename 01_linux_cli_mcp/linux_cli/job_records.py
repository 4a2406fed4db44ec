"""What is remembered of a job, in a folder of its own that outlives the spoke."""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from flotilla import Model

JobState = Literal["running", "finished", "timedOut", "cancelled", "stopped", "failed", "lost"]


class Record(Model):
    """One job. `label` marks its processes and is not shown."""

    id: str
    label: str
    host: str
    argv: tuple[str, ...]
    cwd: str | None
    started_by: str
    started_at: datetime
    state: JobState = "running"
    ended_at: datetime | None = None
    exit_code: int | None = None
    signal: str | None = None
    reason: str | None = None


class Records:
    """The records under a folder; small files, each replaced whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def folder_of(self, job_id: str) -> Path:
        return self._folder / job_id

    def save(self, record: Record) -> None:
        folder = self.folder_of(record.id)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = folder / "job.json.tmp"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(record.model_dump_json())
        temporary.replace(folder / "job.json")

    def all(self) -> list[Record]:
        """Every record that can be read, newest first."""
        found = list(self._read())
        found.sort(key=lambda record: (record.started_at, record.id), reverse=True)
        return found

    def forget(self, *, older_than_s: float, keep: int) -> None:
        """Remove ended jobs that are too old, and the oldest beyond `keep`; never running ones."""
        oldest = datetime.now(UTC) - timedelta(seconds=older_than_s)
        for rank, record in enumerate(self.all()):
            if record.state == "running":
                continue
            if rank >= keep or (record.ended_at or record.started_at) < oldest:
                shutil.rmtree(self.folder_of(record.id), ignore_errors=True)

    def _read(self) -> Iterator[Record]:
        for path in self._folder.glob("*/job.json"):
            # A record cut short by a crash or written by another version says nothing.
            with suppress(OSError, ValidationError):
                yield Record.model_validate_json(path.read_bytes(), by_alias=True)
