"""Which live item each discovered one is: by its key attribute, or else by class and name."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol, cast

import orjson
from pydantic import JsonValue
from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cmdb.filters import Filter, condition
from cmdb.items import ITEM_COLUMNS, Item, item_of
from cmdb.tables import item
from cmdb.values import MAX_INTEGER, check_text
from flotilla import InvalidArgument

PAGE = 1000
"""Items read at once of what may be a whole inventory."""
_STEP = 200
"""Values in one look-up."""
_MANY = 1000
"""Values from which on one pass over the class is cheaper than asking for each."""
KeyValue = tuple[str, str, bytes]


class Named(Protocol):
    """An item as a source tells it."""

    @property
    def ci_class(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def key(self) -> str | None: ...
    @property
    def attributes(self) -> Mapping[str, JsonValue]: ...


def key_value(one: Named) -> KeyValue | None:
    """Class, key attribute and value of what has a key that can be looked up."""
    if one.key is None or not is_key(value := one.attributes.get(one.key)):
        return None
    return one.ci_class, one.key, comparable(value)


def is_key(value: JsonValue) -> bool:
    if isinstance(value, str):
        return is_text(value)
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) <= MAX_INTEGER
    return isinstance(value, float)


def is_text(text: str) -> bool:
    """Whether a database can be asked for it."""
    try:
        check_text(text, "")
    except InvalidArgument:
        return False
    return True


def comparable(value: JsonValue) -> bytes:
    # 1 and 1.0 are one number, as the databases compare them.
    if isinstance(value, float) and value.is_integer() and abs(value) < MAX_INTEGER:
        value = int(value)
    return orjson.dumps(value)


async def live_by_key(
    connection: AsyncConnection, items: Sequence[Named], *, postgresql: bool
) -> dict[KeyValue, list[Item]]:
    """The live items of each (class, key attribute, value) that was discovered."""
    asked: dict[tuple[str, str], dict[bytes, str | int | float]] = defaultdict(dict)
    for one in items:
        if (known := key_value(one)) is not None:
            value = cast("str | int | float", one.attributes[known[1]])
            asked[known[0], known[1]][known[2]] = value
    found: dict[KeyValue, list[Item]] = defaultdict(list)
    for (ci_class, key), values in asked.items():
        of_class = select(*ITEM_COLUMNS).where(
            item.c.ci_class == ci_class, item.c.retired_at.is_(None)
        )
        given = list(values.values())
        if len(given) > _MANY:
            tests = [Filter(attribute=key, op="exists")]
        else:
            parts = (given[start : start + _STEP] for start in range(0, len(given), _STEP))
            tests = [Filter(attribute=key, op="in", value=list(part)) for part in parts]
        for test in tests:
            query = of_class.where(condition(test, postgresql=postgresql))
            async for page in streamed(connection, query):
                for one in page:
                    if (value := comparable(one.attributes[key])) in values:
                        found[ci_class, key, value].append(one)
    return found


async def streamed(
    connection: AsyncConnection, query: Select[*tuple[object, ...]]
) -> AsyncIterator[list[Item]]:
    """The items of a query in the order of their IDs, a page at a time: it may be all there are."""
    last, more = "", True
    while more:
        rows = await connection.execute(
            query.where(item.c.id > last).order_by(item.c.id).limit(PAGE)
        )
        page = [item_of(row) for row in rows.mappings()]
        more = len(page) == PAGE
        last = page[-1].id if page else last
        yield page
