"""Keep a configuration database: items, their relations, their history, and what rests on what."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from cmdb.class_tools import ClassTools
from cmdb.export_tools import ExportTools
from cmdb.graph_tools import GraphTools
from cmdb.import_tools import ImportTools
from cmdb.item_tools import ItemTools
from cmdb.place import file_place, place_of
from cmdb.reconcile_tools import ReconcileTools
from cmdb.relation_tools import RelationTools
from cmdb.search_tools import SearchTools
from cmdb.seeding import Catalogues
from cmdb.servicenow.estate import FILE_NAME, Estate
from cmdb.servicenow.pull_tools import PullTools
from cmdb.servicenow.push_tools import PushTools
from cmdb.servicenow.query_tools import QueryTools
from cmdb.settings import Settings
from cmdb.store import Store
from cmdb.validation_tools import ValidationTools
from flotilla import CommonSettings, Spoke, __version__

INSTRUCTIONS = """\
A configuration database (CMDB): items of typed classes, relations between them, full history.
Find items with searchItems; ask analyzeImpact before you change or retire one. An update names the
version that was read and is refused when the item has moved since. For many items at once use
importItems, or previewReconcile and applyReconcile when a source of truth was scanned. ServiceNow's
CMDB is another one: queryServiceNow reads it, pullServiceNow and pushServiceNow go between."""


def build(settings: Settings, common: CommonSettings | None = None) -> Spoke:
    """The spoke; without a database URL its items are in one file in the fleet's data folder."""
    shared = common or CommonSettings.from_env()
    estate = Estate(settings.servicenow_config or shared.config_dir / FILE_NAME)
    if settings.database_url is None:
        folder = shared.service_data_dir("cmdb")
        place = file_place(folder, settings.database_schema)
    else:
        place = place_of(settings.database_url, settings.database_schema)
    store = Store(
        place,
        pool_size=settings.pool_size,
        connect_timeout_s=settings.connect_timeout_s,
        lock_timeout_s=settings.lock_timeout_s,
    )
    catalogues = Catalogues()
    reconciling = ReconcileTools(store, catalogues, settings.plan_ttl_s)
    pushing = PushTools(store, catalogues, estate)
    families = (
        ClassTools(store, catalogues),
        SearchTools(store, catalogues),
        ItemTools(store, catalogues),
        RelationTools(store, catalogues),
        GraphTools(store, catalogues),
        ValidationTools(store, catalogues),
        ExportTools(store, catalogues),
        ImportTools(store, catalogues),
        reconciling,
        QueryTools(estate),
        PullTools(store, catalogues, estate),
        pushing,
    )

    @asynccontextmanager
    async def opened() -> AsyncGenerator[None]:
        async with store.opened(), estate.opened():
            yield

    return Spoke(
        name="cmdb",
        version=__version__,
        instructions=INSTRUCTIONS,
        namespaces=("data.cmdb",),
        tools=tuple(tool for family in families for tool in family.tools()),
        lifespan=opened,
        ready=store.ready,
        operations=(*reconciling.operations(), *pushing.operations()),
        secrets=(*place.secrets, *estate.secrets),
        credentials=estate.credentials,
    )
