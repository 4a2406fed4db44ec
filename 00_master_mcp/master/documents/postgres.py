"""Documents as rows of one table in PostgreSQL; for hubs on any number of machines."""

import json
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any, cast

from anyio import to_thread
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from flotilla import Conflict, Misconfigured
from flotilla.database.database import Database
from flotilla.database.place import Place
from master.database.migrations import VERSIONS
from master.database.opened import ANSWER_TIMEOUT_S, CONNECT_TIMEOUT_S, LOCK_TIMEOUT_S
from master.database.tables import documents
from master.documents.seam import Document


class PostgresDocuments:
    """The first use brings the tables to their newest shape, however many hubs start at once."""

    def __init__(
        self,
        place: Place,
        *,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> None:
        self._key, self._secrets = place.key, place.secrets
        self._database = Database(
            place,
            service="hub",
            called="the hub's database",
            versions=VERSIONS,
            pool_size=1,
            connect_timeout_s=connect_timeout_s,
            lock_timeout_s=lock_timeout_s,
            answer_timeout_s=answer_timeout_s,
        )

    def at_hand(self, name: str) -> Document | None:
        del name
        return None

    async def load(self, name: str) -> Document:
        asked = select(documents.c.body, documents.c.version).where(documents.c.name == name)
        with self._judged():
            async with self._database.read() as connection:
                row = (await connection.execute(asked)).one_or_none()
        if row is None:
            return Document({}, None)
        body = await to_thread.run_sync(_decoded, row.body)
        if body is None:
            raise Misconfigured(f"{self.where(name)} is not a JSON object; mend it, or delete it")
        return Document(body, str(row.version))

    async def version(self, name: str) -> str | None:
        asked = select(documents.c.version).where(documents.c.name == name)
        with self._judged():
            async with self._database.read() as connection:
                found = (await connection.execute(asked)).scalar_one_or_none()
        return None if found is None else str(found)

    async def save(self, name: str, body: Mapping[str, Any], version: str | None) -> str:
        text = await to_thread.run_sync(json.dumps, body)
        changed: dict[str, Any] = {"body": text, "changed_at": func.now()}
        first = insert(documents).values(name=name, version=1, **changed)
        after = update(documents).where(
            documents.c.name == name, documents.c.version == int(version or 0)
        )
        statement = (
            first.on_conflict_do_nothing()
            if version is None
            else after.values(version=documents.c.version + 1, **changed)
        )
        with self._judged():
            async with self._database.write() as connection:
                saved = await connection.execute(statement.returning(documents.c.version))
                now = saved.scalar_one_or_none()
        if now is None:
            raise Conflict(f"{self.where(name)} has changed meanwhile")
        return str(now)

    @property
    def secrets(self) -> tuple[str, ...]:
        return self._secrets

    def where(self, name: str) -> str:
        return f"the document {name!r} in the hub's database"

    def running(self) -> AbstractAsyncContextManager[None]:
        return self._opened()

    @asynccontextmanager
    async def _opened(self) -> AsyncGenerator[None]:
        async with self._database.opened(migrate=False):
            yield

    @contextmanager
    def _judged(self) -> Generator[None]:
        """Misconfigured for what waiting will not mend, say a right that the hub lacks."""
        try:
            yield
        except SQLAlchemyError as error:
            kind = type(getattr(error, "orig", None) or error).__name__
            raise Misconfigured(f"{self._key}: the database refuses the hub ({kind})") from error


def _decoded(text: str) -> dict[str, Any] | None:
    try:
        body: Any = json.loads(text)
    except ValueError:
        return None
    return cast("dict[str, Any]", body) if isinstance(body, dict) else None
