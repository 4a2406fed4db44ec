"""The fleet as a person starts it, before a vCenter and a real API server: every change is shown.

The vCenter is govmomi's simulator. Passwords are stored by the command line and brought by the hub.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from tests.backends.kube.person import Person
from tests.backends.vcsim_server import PASSWORD, Vcsim
from tests.conftest import ROOT, LaunchedFleet, until
from tests.processes import alive
from tests.providers.servers import APPS, configured, deployment
from tests.providers.servers import kube as kube
from tests.providers.servers import vcenters as vcenters
from tests.providers.world import Book
from tests.real.kube.cluster import ADMIN, READER, RealKube

pytestmark = [pytest.mark.anyio, pytest.mark.real, pytest.mark.timeout(300)]

BRING_S = 45
"""The hub looks at least every half minute whether a spoke lacks a secret."""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Shell:
    """A person's terminal beside a fleet that runs."""

    fleet: LaunchedFleet
    said: list[str] = field(default_factory=list[str])

    async def write(self, name: str, value: str, service: str) -> None:
        """Store a version of a secret that a service may use, as a person would."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "flotilla", "secrets", "write", name),
            *("--allow-service", service),
            cwd=ROOT,
            env={
                **os.environ,
                "FLOTILLA_HUB_URL": self.fleet.url,
                "FLOTILLA_OWNER_TOKEN_FILE": str(self.fleet.data_dir / "owner_token"),
            },
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await asyncio.wait_for(process.communicate(value.encode()), 60)
        assert process.returncode == 0, out.decode()
        assert value not in out.decode()


@dataclass
class Operator:
    """Calls tools by their safe names, with a person who is asked."""

    client: Client
    person: Person

    async def raw(self, tool: str, **arguments: Any) -> Any:
        return await self.client.call_tool(tool, arguments)

    async def __call__(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self.raw(tool, **arguments)
        assert not result.is_error, result.content[0].text
        return result.structured_content

    async def code(self, tool: str, **arguments: Any) -> str:
        """`ok`, or the code of the error."""
        result = await self.raw(tool, **arguments)
        return json.loads(result.content[0].text)["error"]["code"] if result.is_error else "ok"

    async def task(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """What a tool of VMware begins, at its end; somebody was asked before."""
        asked = len(self.person.asked)
        begun = await self(f"infra_vmware_{tool}", **arguments)
        assert len(self.person.asked) == asked + 1
        ended = await self(
            "infra_vmware_getTask", taskId=begun["taskId"], vcenter=begun["vcenter"], waitS=20
        )
        assert ended["state"] == "success", ended
        return ended

    @property
    def shown(self) -> str:
        return self.person.asked[-1]


Launch = Callable[..., Any]


@asynccontextmanager
async def launched(
    launch_fleet: Launch, folder: Path, vcenters: dict[str, Vcsim], kube: RealKube
) -> AsyncGenerator[tuple[LaunchedFleet, Shell, Operator]]:
    """A fleet of processes with one vCenter and one cluster whose secrets nobody has stored yet."""
    config, clusters = configured(
        folder, {"lab": vcenters["lab"]}, kube, "secret:vmware/lab", "secret:k8s/main"
    )
    env = {
        "VMWARE_CONFIG": str(config),
        "K8S_CONFIG": str(clusters),
        "K8S_KUBECONFIG": "none",
    }
    person = Person()
    async with (
        launch_fleet("--services", "vmware,k8s,cmdb,secrets", **env) as fleet,
        fleet.client(elicitation_callback=person) as client,
    ):
        yield fleet, Shell(fleet), Operator(client, person)


async def test_machines_and_deployments_live_their_lives_in_a_fleet_that_was_started(
    launch_fleet: Launch, tmp_path: Path, vcenters: dict[str, Vcsim], kube: RealKube
) -> None:
    async with launched(launch_fleet, tmp_path, vcenters, kube) as (fleet, shell, operator):
        assert await operator.code("infra_vmware_listVirtualMachines") == "not_configured"
        assert await operator.code("infra_k8s_listNamespaces", cluster="main") == "not_configured"
        await shell.write("vmware/lab", PASSWORD, "vmware")
        await shell.write("k8s/main", ADMIN, "k8s")

        async def brought() -> bool:
            codes = {
                await operator.code("infra_vmware_listVirtualMachines"),
                await operator.code("infra_k8s_listNamespaces", cluster="main"),
            }
            return codes == {"ok"}

        await until(brought, within_s=BRING_S)
        await _a_machine(operator)
        await _a_deployment(operator, kube)
        book = Book(operator.client)
        taken = await book.preview("vmware", vcenter="lab")
        assert taken["counts"]["creates"] > 10
        processes = fleet.processes()
        assert processes
    await until(lambda: not alive(processes))
    told = fleet.written()
    assert PASSWORD not in told
    assert ADMIN not in told


async def _a_machine(operator: Operator) -> None:
    name = "DC0_H0_VM0"
    listed = await operator("infra_vmware_listVirtualMachines", nameContains=name)
    (found,) = [each for each in listed["items"] if each["name"] == name]
    at = {"vmId": found["vmId"]}
    await operator.task("createSnapshot", snapshotName="before", **at)
    assert f"{name} ({found['vmId']} in lab)" in operator.shown
    await operator.task("powerOff", **at)
    await operator.task("reconfigureVirtualMachine", cpuCount=4, **at)
    assert "cpuCount" in operator.shown
    cloned = await operator.task("cloneVirtualMachine", newName="fleet-clone", **at)
    clone = {"vmId": cloned["resultId"]}
    machine = await operator("infra_vmware_getVirtualMachine", **clone)
    assert machine["name"] == "fleet-clone"
    await operator.task("deleteVirtualMachine", name="fleet-clone", **clone)
    assert await operator.code("infra_vmware_getVirtualMachine", **clone) == "not_found"


async def _a_deployment(operator: Operator, kube: RealKube) -> None:
    where = {"cluster": "main", "namespace": "default"}
    for image in ("shop:1", "shop:2"):
        text = json.dumps(deployment("fleet", image))
        await operator("infra_k8s_applyManifest", manifest=text, **where)
        assert f"+      - image: {image}" in operator.shown, operator.shown
        # The controller keeps each as a ReplicaSet, which is what revisions are made of.
        count = int(image[-1])
        sets = "/apis/apps/v1/namespaces/default/replicasets?labelSelector=app%3Dfleet"
        await until(lambda c=count, s=sets: len(kube.ask("GET", s)["items"]) == c, within_s=30)
    await operator("infra_k8s_scaleDeployment", name="fleet", replicas=3, **where)
    assert "from 2 to 3 replicas" in operator.shown
    await operator("infra_k8s_restartDeployment", name="fleet", **where)
    back = await operator("infra_k8s_rollbackDeployment", name="fleet", toRevision=1, **where)
    assert back["toRevision"] == 1
    live = kube.ask("GET", f"{APPS}/fleet")
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == "shop:1"
    assert live["spec"]["replicas"] == 3
    await operator("infra_k8s_deleteResource", kind="deployment", name="fleet", **where)
    assert "uid" in operator.shown

    async def gone() -> bool:
        asked = {"kind": "deployment", "name": "fleet", **where}
        return await operator.code("infra_k8s_getResource", **asked) == "not_found"

    await until(gone, within_s=30)


async def test_a_new_version_of_a_password_or_token_is_used_without_a_restart(
    launch_fleet: Launch, tmp_path: Path, vcenters: dict[str, Vcsim], kube: RealKube
) -> None:
    async with launched(launch_fleet, tmp_path, vcenters, kube) as (_, shell, operator):

        async def is_so(code: str, tool: str, **arguments: Any) -> None:
            async def told() -> bool:
                return await operator.code(tool, **arguments) == code

            await until(told, within_s=BRING_S)

        machines = "infra_vmware_listVirtualMachines"
        secrets = ("infra_k8s_listResources", {"cluster": "main", "kind": "secret"})
        await shell.write("vmware/lab", "not-the-password", "vmware")
        await shell.write("k8s/main", READER, "k8s")
        await is_so("not_configured", machines)
        await is_so("not_allowed", secrets[0], **secrets[1])
        await shell.write("vmware/lab", PASSWORD, "vmware")
        await shell.write("k8s/main", ADMIN, "k8s")
        await is_so("ok", machines)
        await is_so("ok", secrets[0], **secrets[1])
        # And back: what was signed in with the old version does not go on being used.
        await shell.write("vmware/lab", "again-not-the-password", "vmware")
        await shell.write("k8s/main", READER, "k8s")
        await is_so("not_allowed", secrets[0], **secrets[1])
        await is_so("not_configured", machines)
