"""ServiceNow's CMDB: the first page of 20,000 CIs, all of its pages, and bringing all of them in.

    PYTHONPATH=.:12_cmdb_mcp .venv/bin/python benchmarks/listings/servicenow.py

The instance is one of ours in the same process, over TLS; its own work counts on both sides.
"""

import asyncio
import base64
import ssl
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import aiohttp
import yaml

from cmdb import build
from cmdb.settings import Settings
from flotilla import CommonSettings, Context, Deadline, Principal
from flotilla.redaction import Redactor
from flotilla.toolbox import Toolbox

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from measure import first_page, whole_list  # noqa: E402

from tests.backends.servicenow_server import PASSWORD, USER, ServiceNow  # noqa: E402

CIS = 20_000
TABLE = "cmdb_ci_server"


def stocked(folder: Path) -> ServiceNow:
    made = ServiceNow(folder)
    for number in range(CIS):
        made.add(
            "cmdb_ci_linux_server",
            sys_id=f"{number:032x}",
            name=f"web-{number:05}",
            serial_number=f"S{number}",
            ip_address=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
            operational_status="1",
            short_description="A machine of the estate",
            ram="16384",
            cpu_count="8",
        )
    return made


async def main(folder: Path) -> None:
    instance = stocked(folder / "servicenow")
    password = folder / "password"
    password.write_text(PASSWORD)
    async with instance.server.running():
        entry = {
            "url": instance.server.url,
            "ca_file": str(instance.server.trusted),
            "user": USER,
            "password": str(password),
        }
        file = folder / "servicenow.yaml"
        file.write_text(yaml.safe_dump({"instances": {"dev": entry}}))
        spoke = build(Settings(servicenow_config=file), CommonSettings(data_dir=folder))
        async with spoke.lifespan(), upstream_of(instance) as session:
            toolbox = Toolbox(spoke.tools, Redactor(spoke.secrets))
            await compared(toolbox, session, instance)


def upstream_of(instance: ServiceNow) -> aiohttp.ClientSession:
    trust = ssl.create_default_context(cafile=str(instance.server.trusted))
    pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=trust), headers={"Authorization": f"Basic {pair}"}
    )


async def compared(toolbox: Toolbox, session: aiohttp.ClientSession, instance: ServiceNow) -> None:
    async def called(tool: str, **arguments: Any) -> Any:
        context = Context(
            principal=Principal("bench"),
            correlation_id="bench",
            deadline=Deadline.after(300),
            approved=True,
        )
        result = await toolbox.call(f"data.cmdb.{tool}", arguments, context)
        assert not result["isError"], result
        return result["structuredContent"]

    async def page() -> Any:
        return await called("queryServiceNow", table=TABLE)

    async def upstream() -> Any:
        asked = {
            "sysparm_query": "ORDERBYsys_id",
            "sysparm_limit": "50",
            "sysparm_fields": "sys_id,name,sys_class_name,short_description,operational_status,"
            "ip_address,serial_number",
        }
        url = f"{instance.server.url}/api/now/table/{TABLE}"
        async with session.get(url, params=asked) as answer:
            return await answer.json()

    async def pages() -> int:
        count, cursor = 0, None
        while True:
            more = {} if cursor is None else {"cursor": cursor}
            told = await called("queryServiceNow", table=TABLE, limit=500, **more)
            count, cursor = count + told["returned"], told.get("nextCursor")
            if cursor is None:
                return count

    async def pulled() -> int:
        return (await called("pullServiceNow", ciClass="server", relations=False))["read"]

    await first_page("queryServiceNow", page, upstream)
    await whole_list("queryServiceNow", pages)
    await whole_list("pullServiceNow", pulled)
    started = perf_counter()
    again = await called("pullServiceNow", ciClass="server", relations=False)
    assert (again["created"], again["updated"], again["unchanged"]) == (0, 0, CIS)
    print(f"pullServiceNow again: nothing changed, {perf_counter() - started:.1f} s")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(Path(folder)))
