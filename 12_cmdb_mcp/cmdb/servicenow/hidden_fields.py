"""The fields of which an instance's own dictionary says that they hold passwords."""

from collections.abc import Callable
from time import monotonic

import anyio
import structlog

from cmdb.servicenow.connection import Connection
from cmdb.servicenow.records import Asked, read_page, text_of
from flotilla import Deadline, InvalidArgument, NotAllowed, NotFound

log = structlog.get_logger(__name__)

KEPT_S = 3600.0
MAX_FIELDS = 5000
_QUERY = "internal_type=password^ORinternal_type=password2"


class HiddenFields:
    """Asked once an hour for each instance, and once for all who wait."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._locks: dict[str, anyio.Lock] = {}
        self._known: dict[str, tuple[float, frozenset[str]]] = {}

    async def of(self, connection: Connection, deadline: Deadline) -> frozenset[str]:
        """Their names, whatever table they are of.

        Where the account may not read the dictionary, none are known: names that speak of secrets
        are kept back all the same. Other failures are raised, for then nobody knows.
        """
        alias = connection.alias
        lock = self._locks.setdefault(alias, anyio.Lock())
        async with lock:
            known = self._known.get(alias)
            if known is not None and self._clock() < known[0]:
                return known[1]
            found = await self._asked(connection, deadline)
            self._known[alias] = (self._clock() + KEPT_S, found)
            return found

    async def _asked(self, connection: Connection, deadline: Deadline) -> frozenset[str]:
        asked = Asked(
            table="sys_dictionary", query=_QUERY, fields=["name", "element"], limit=MAX_FIELDS
        )
        try:
            page = await read_page(connection, asked, deadline)
        except (NotAllowed, NotFound, InvalidArgument):
            log.warning("servicenow_dictionary_closed", instance=connection.alias)
            return frozenset()
        names = (
            text_of(row.get("element"))
            for row in page.rows
            if _may_matter(text_of(row.get("name")), connection.instance.tables)
        )
        return frozenset(name for name in names if name)


def _may_matter(table: str, allowed: tuple[str, ...]) -> bool:
    """Whether a table may be one that is read, or one that such a one extends.

    Elsewhere passwords stand in fields with names like `value`, which are no secrets here.
    """
    if not all(one.startswith("cmdb") for one in allowed):
        return True
    return table.startswith(("cmdb", "u_", "x_"))
