"""The first page of 10,000 virtual machines through the spoke, against one request of vCenter.

    python benchmarks/listings/vmware.py [machines]

The vCenter is govmomi's simulator (tests/real/vcsim), a process of its own; it takes most of a
minute to make ten thousand machines. The one request is RetrievePropertiesEx by pyVmomi alone, on a
session and a view that are there already, with the very properties of a page.
"""

import asyncio
import logging
import ssl
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import structlog
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "05_vmware_mcp"), str(ROOT / "benchmarks" / "listings")]

from measure import first_page, whole_list  # noqa: E402

from flotilla import CommonSettings, Context, Deadline, Principal, Spoke  # noqa: E402
from flotilla.redaction import Redactor  # noqa: E402
from flotilla.toolbox import Toolbox  # noqa: E402
from tests.backends.vcsim_server import PASSWORD, USER, Vcsim, vcsim  # noqa: E402
from vmware import build  # noqa: E402
from vmware.machines import ROW_PATHS  # noqa: E402
from vmware.settings import Settings  # noqa: E402

MACHINES = 10_000
LIMIT = 50

Call = Callable[..., Awaitable[dict[str, Any]]]


def spoke_before(vcenter: Vcsim, folder: Path) -> Spoke:
    secret = folder / "password"
    secret.write_text(PASSWORD)
    file = folder / "vmware.yaml"
    file.write_text(yaml.safe_dump({"vcenters": {"main": vcenter.entry(str(secret))}}))
    return build(Settings(config=file), CommonSettings(data_dir=folder / "data"))


def calls_of(spoke: Spoke) -> Call:
    toolbox = Toolbox(spoke.tools, Redactor(spoke.secrets))

    async def call(tool: str, **arguments: Any) -> dict[str, Any]:
        context = Context(
            principal=Principal("benchmark"),
            correlation_id="benchmark",
            deadline=Deadline.after(60),
        )
        result = await toolbox.call(f"infra.vmware.{tool}", arguments, context)
        assert not result["isError"], result["content"]
        return result["structuredContent"]

    return call


def plain_request(vcenter: Vcsim) -> Callable[[], int]:
    """The one request: a page of the same properties by pyVmomi alone."""
    from pyVmomi import vim, vmodl
    from pyVmomi.SoapAdapter import SoapStubAdapter

    stub: Any = SoapStubAdapter(
        host=vcenter.host,
        port=vcenter.port,
        version="vim.version.version11",
        sslContext=ssl.create_default_context(cafile=vcenter.trusted),
    )
    content: Any = vim.ServiceInstance("ServiceInstance", stub).RetrieveContent()
    content.sessionManager.Login(USER, PASSWORD)
    view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
    collector: Any = vmodl.query.PropertyCollector
    through = collector.TraversalSpec(
        name="view", path="view", skip=False, type=vim.view.ContainerView
    )
    spec = collector.FilterSpec(
        objectSet=[collector.ObjectSpec(obj=view, skip=True, selectSet=[through])],
        propSet=[
            collector.PropertySpec(type=vim.VirtualMachine, pathSet=list(ROW_PATHS), all=False)
        ],
    )
    options = collector.RetrieveOptions(maxObjects=LIMIT)

    def ask() -> int:
        return len(content.propertyCollector.RetrievePropertiesEx([spec], options).objects)

    return ask


async def measured(vcenter: Vcsim, machines: int, folder: Path) -> None:
    spoke = spoke_before(vcenter, folder)
    call = calls_of(spoke)
    ask = await asyncio.to_thread(plain_request, vcenter)
    title = f"{machines} machines"
    async with spoke.lifespan():
        started = perf_counter()
        await call("listVirtualMachines", limit=LIMIT)
        took_ms = (perf_counter() - started) * 1e3
        print(f"{title}: very first page, with loading pyVmomi and logging in, {took_ms:.0f} ms")

        async def upstream() -> int:
            return await asyncio.to_thread(ask)

        await first_page(title, lambda: call("listVirtualMachines", limit=LIMIT), upstream)

        page = await call("listVirtualMachines", limit=LIMIT)
        started = perf_counter()
        await call("listVirtualMachines", limit=LIMIT, cursor=page["nextCursor"])
        took_ms = (perf_counter() - started) * 1e3
        print(f"{title}: first second page, with reading the order of all, {took_ms:.0f} ms")

        async def following() -> dict[str, Any]:
            return await call("listVirtualMachines", limit=LIMIT, cursor=page["nextCursor"])

        await first_page(f"{title}, a later page instead", following, upstream)

        async def all_pages() -> int:
            told = await call("listVirtualMachines", limit=500)
            count = told["returned"]
            while "nextCursor" in told:
                told = await call("listVirtualMachines", limit=500, cursor=told["nextCursor"])
                count += told["returned"]
            return count

        await whole_list(title, all_pages)
        await whole_list(f"{title}, again", all_pages)
        started = perf_counter()
        found = await call("listVirtualMachines", nameContains="VM4999", limit=LIMIT)
        took_s = perf_counter() - started
        print(f"{title}: {found['returned']} by part of the name in {took_s:.2f} s")


def main() -> None:
    machines = int(sys.argv[1]) if len(sys.argv) > 1 else MACHINES
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        with vcsim(folder / "vcenter", machines_per_pool=machines // 2) as vcenter:
            asyncio.run(measured(vcenter, machines, folder))


if __name__ == "__main__":
    main()
