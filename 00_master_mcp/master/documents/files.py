"""Documents as small JSON files in one folder, each replaced whole; for the hubs of one machine."""

import fcntl
import hashlib
import json
import os
import secrets
import time
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, cast

from anyio import to_thread

from flotilla import Conflict, Misconfigured, Unavailable
from master.documents.seam import Document

LOCK_WAIT_S = 5.0
_LOCK_AGAIN_S = 0.01


class FileDocuments:
    """`<name>.json` in a folder that is made with the first of them; mode 0600.

    A file's version is the hash of its bytes, so a file that a person edited counts as saved.
    """

    def __init__(self, folder: Path, *, lock_wait_s: float = LOCK_WAIT_S) -> None:
        """`lock_wait_s` bounds the wait for others who write in the folder."""
        self._folder = folder
        self._lock_wait_s = lock_wait_s

    def at_hand(self, name: str) -> Document | None:
        return self._read(name)

    async def load(self, name: str) -> Document:
        return await to_thread.run_sync(self._read, name)

    async def version(self, name: str) -> str | None:
        return _hash(await to_thread.run_sync(self._bytes, name))

    async def save(self, name: str, body: Mapping[str, Any], version: str | None) -> str:
        # A thread is not cancelled: the file is the old one or the new one, whoever has given up.
        return await to_thread.run_sync(self._replace, name, body, version)

    @property
    def secrets(self) -> tuple[str, ...]:
        return ()

    def where(self, name: str) -> str:
        return str(self._path(name))

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        yield

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _bytes(self, name: str) -> bytes | None:
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Misconfigured(f"cannot read {self._path(name)}: {error.strerror}") from None

    def _read(self, name: str) -> Document:
        raw = self._bytes(name)
        if raw is None:
            return Document({}, None)
        wrong = f"{self._path(name)} is not a JSON object; mend it, or delete it to start anew"
        try:
            body: Any = json.loads(raw)
        except ValueError:
            raise Misconfigured(wrong) from None
        if not isinstance(body, dict):
            raise Misconfigured(wrong)
        return Document(cast("dict[str, Any]", body), _hash(raw))

    def _replace(self, name: str, body: Mapping[str, Any], version: str | None) -> str:
        path, raw = self._path(name), json.dumps(body, indent=1, ensure_ascii=False).encode()
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _alone_in(self._folder, self._lock_wait_s) as folder:
                if _hash(self._bytes(name)) != version:
                    raise Conflict(f"{path} has changed meanwhile")
                _replace(path, raw)
                os.fsync(folder)
        except OSError as error:
            raise Unavailable(f"cannot write {path}: {error.strerror}") from error
        return cast("str", _hash(raw))


def _hash(raw: bytes | None) -> str | None:
    return None if raw is None else hashlib.sha256(raw).hexdigest()


@contextmanager
def _alone_in(folder: Path, wait_s: float) -> Generator[int]:
    """Hold the folder against other processes and threads; tells its descriptor."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        until = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise Unavailable(f"another process holds {folder}") from None
                time.sleep(_LOCK_AGAIN_S)
        yield fd
    finally:
        os.close(fd)


def _replace(path: Path, raw: bytes) -> None:
    """Write beside and rename: a crash leaves the old one or the new one."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(fd)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
