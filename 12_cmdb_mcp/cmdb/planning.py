"""Works out a reconciliation's plan against the live inventory; changes nothing."""

from collections.abc import Sequence

import anyio.lowlevel
from pydantic import JsonValue
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cmdb.catalogue import Catalogue
from cmdb.filters import Filter, condition
from cmdb.items import ITEM_COLUMNS, Item, item_of, live_by_names, live_relations
from cmdb.ledger import changes_between
from cmdb.reconcile_plan import (
    Discovered,
    DiscoveredRelation,
    EndRef,
    PlanContent,
    PlannedCreate,
    PlannedRelation,
    PlannedRetire,
    PlannedUpdate,
    changed,
)
from cmdb.relation_types import relation_type
from cmdb.tables import item
from cmdb.values import check_attributes, merged
from flotilla import InvalidArgument, TooLarge

MAX_RETIRES = 5000
Key = tuple[str, str]
_STEP = 200
