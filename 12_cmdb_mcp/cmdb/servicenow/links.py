"""The items of ours that are linked to CIs of ServiceNow."""

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cmdb.filters import Filter, condition
from cmdb.items import ITEM_COLUMNS, Item
from cmdb.matching import streamed
from cmdb.servicenow.class_map import INSTANCE, KEY
from cmdb.tables import item

_FEW = 200
"""Values that are asked for one by one; beyond, all linked items are looked through once."""


async def linked_items(
    connection: AsyncConnection, sys_ids: Collection[str], *, postgresql: bool, instance: str
) -> dict[str, Item]:
    """The live items that hold these sys_ids; where two hold one, that of the instance."""
    few = len(sys_ids) <= _FEW
    test = (
        Filter(attribute=KEY, op="in", value=list(sys_ids))
        if few
        else Filter(attribute=KEY, op="exists")
    )
    query = select(*ITEM_COLUMNS).where(
        item.c.retired_at.is_(None), condition(test, postgresql=postgresql)
    )
    wanted = set(sys_ids)
    found: dict[str, Item] = {}
    async for page in streamed(connection, query):
        for one in page:
            sys_id = one.attributes.get(KEY)
            if not isinstance(sys_id, str) or sys_id not in wanted:
                continue
            if sys_id not in found or one.attributes.get(INSTANCE) == instance:
                found[sys_id] = one
    return found
