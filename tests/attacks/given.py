"""Arguments with which each tool does what it is for, and makes nothing of the machine worse."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import uuid4

from tests.conftest import until

from .schemas import least
from .world import HOST, SECRET, World

Given = Callable[[World], Awaitable[dict[str, Any]]]


async def given(world: World, tool: str) -> dict[str, Any]:
    """Arguments that the tool succeeds with; for one that is not named here, the least it takes."""
    if (made := MADE.get(tool)) is not None:
        return await made(world)
    if (ready := READY.get(tool)) is not None:
        return _filled(ready, world)
    schema = world.listing[tool]["inputSchema"]
    return least(schema, schema)


READY: Mapping[str, Mapping[str, Any]] = {
    "master.tools.search": {"query": "read a file"},
    "master.tools.describe": {"name": "os.linux.readFile"},
    "master.tools.call": {"name": "os.linux.readFile", "arguments": {"path": "{play}/file.txt"}},
    "os.linux.getDiskUsage": {},
    "os.linux.getServiceStatus": {"unit": "none.service"},
    "os.linux.controlService": {"unit": "none.service", "action": "restart"},
    "os.linux.listDirectory": {"path": "{play}"},
    "os.linux.readFile": {"path": "{play}/file.txt"},
    "os.linux.runReadOnly": {"argv": ["ls"], "cwd": "{play}"},
    "os.linux.runCommand": {"argv": ["/bin/echo"], "env": {"A": "b"}},
    "os.linux.installPackage": {"packages": ["none"], "refresh": False},
    "os.linux.startJob": {"argv": ["/bin/echo"], "env": {"A": "b"}},
    "os.ssh.testConnection": {"host": HOST},
    "data.cmdb.getClassSchema": {"ciClass": "server"},
    "data.cmdb.importItems": {
        "content": '{"items": [{"ciClass": "server", "name": "imported", "attributes": {}}]}',
        "mode": "upsert",
    },
    "data.cmdb.previewReconcile": {
        "source": "scan",
        "items": [{"ciClass": "server", "name": "seen", "attributes": {"owner": "ops"}}],
    },
    "security.secrets.getMetadata": {"path": SECRET},
    "security.secrets.exists": {"path": SECRET},
    "security.secrets.scanText": {"text": "password = hunter2hunter2"},
    "security.secrets.leaseSecret": {"path": SECRET, "tool": "security.secrets.writeSecret"},
    "security.secrets.runWithSecret": {"argv": ["deploy"], "env": {"TOKEN": SECRET}},
}


def _filled(value: Any, world: World) -> Any:
    if isinstance(value, str):
        return value.replace("{play}", str(world.play)) if "{play}" in value else value
    if isinstance(value, Mapping):
        return {name: _filled(inner, world) for name, inner in value.items()}
    return [_filled(inner, world) for inner in value] if isinstance(value, list) else value


def _name() -> str:
    return f"n{uuid4().hex[:12]}"


async def _item(world: World, ci_class: str = "server") -> dict[str, Any]:
    return await world.call(
        "data.cmdb.createItem", ciClass=ci_class, name=_name(), attributes={"owner": "ops"}
    )


async def _relation(world: World) -> dict[str, Any]:
    return {
        "sourceId": (await _item(world, "application"))["id"],
        "type": "runs_on",
        "targetId": (await _item(world))["id"],
    }


async def _made_relation(world: World) -> dict[str, Any]:
    made = await world.call("data.cmdb.createRelation", **await _relation(world))
    return {"id": made["id"]}


async def _item_id(world: World) -> dict[str, Any]:
    return {"id": (await _item(world))["id"]}


async def _item_version(world: World) -> dict[str, Any]:
    made = await _item(world)
    return {"id": made["id"], "expectedVersion": made["version"]}


async def _update(world: World) -> dict[str, Any]:
    return {**await _item_version(world), "attributes": {"owner": "dev"}}


async def _ends(world: World) -> dict[str, Any]:
    way = await _relation(world)
    await world.call("data.cmdb.createRelation", **way)
    return {"sourceId": way["sourceId"], "targetId": way["targetId"]}


async def _plan(world: World) -> dict[str, Any]:
    items = [{"ciClass": "server", "name": _name(), "attributes": {}}]
    made = await world.call("data.cmdb.previewReconcile", source="scan", items=items)
    return {"planId": made["planId"], "hash": made["hash"]}


async def _job(world: World) -> dict[str, Any]:
    return {"jobId": (await world.call("os.linux.startJob", argv=["/bin/sleep", "5"]))["id"]}


async def _job_done(world: World) -> dict[str, Any]:
    return {"jobId": (await world.call("os.linux.startJob", argv=["/bin/true"]))["id"]}


async def _tunnel(world: World) -> dict[str, Any]:
    opened: list[str] = []

    async def is_open() -> bool:
        # Others may hold as many as may be open, each for a second.
        answer = await world.caller.call("os.ssh.openTunnel", await _goal(world))
        opened.extend([answer.structured["id"]] if answer.code != "rate_limited" else [])
        return bool(opened)

    await until(is_open)
    return {"tunnelId": opened[0]}


async def _goal(world: World) -> dict[str, Any]:
    return {"host": HOST, "target": f"127.0.0.1:{world.sshd.port}", "ttlS": 1}


async def _upload(world: World) -> dict[str, Any]:
    folder = world.closed / "linux_cli" / "exchange"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "out.txt").write_text("out")
    return {"host": HOST, "name": "out.txt", "path": f"{world.play}/{_name()}"}


async def _download(world: World) -> dict[str, Any]:
    return {"host": HOST, "path": f"{world.play}/file.txt", "name": _name()}


async def _secret(world: World) -> dict[str, Any]:
    path = f"made/{_name()}"
    await world.call("security.secrets.generateSecret", path=path)
    return {"path": path}


async def _new_secret(world: World) -> dict[str, Any]:
    return {"path": f"made/{_name()}"}


async def _lease(world: World) -> dict[str, Any]:
    asked = {"path": SECRET, "tool": "security.secrets.writeSecret"}
    return {"lease": (await world.call("security.secrets.leaseSecret", **asked))["leaseId"]}


async def _written_secret(world: World) -> dict[str, Any]:
    return {"path": f"made/{_name()}", "value": "a-value-of-no-worth"}


async def _file(world: World) -> dict[str, Any]:
    return {"path": f"{world.play}/{_name()}", "content": "text"}


async def _process(world: World) -> dict[str, Any]:
    return {"pid": world.victim()}


async def _class(world: World) -> dict[str, Any]:
    schema = {"properties": {"slot": {"type": "string"}}}
    return {"name": _name(), "attributeSchema": schema, "dryRun": True}


async def _new_item(world: World) -> dict[str, Any]:
    return {"ciClass": "server", "name": _name(), "attributes": {"owner": "ops"}}


MADE: Mapping[str, Given] = {
    "os.linux.killProcess": _process,
    "os.linux.writeFile": _file,
    "os.linux.readJob": _job_done,
    "os.linux.cancelJob": _job,
    "os.ssh.uploadFile": _upload,
    "os.ssh.downloadFile": _download,
    "os.ssh.openTunnel": _goal,
    "os.ssh.closeTunnel": _tunnel,
    "data.cmdb.defineClass": _class,
    "data.cmdb.createItem": _new_item,
    "data.cmdb.updateItem": _update,
    "data.cmdb.retireItem": _item_version,
    "data.cmdb.getItem": _item_id,
    "data.cmdb.getHistory": _item_id,
    "data.cmdb.validateItem": _item_id,
    "data.cmdb.analyzeImpact": _item_id,
    "data.cmdb.createRelation": _relation,
    "data.cmdb.deleteRelation": _made_relation,
    "data.cmdb.findPath": _ends,
    "data.cmdb.applyReconcile": _plan,
    "security.secrets.generateSecret": _new_secret,
    "security.secrets.writeSecret": _written_secret,
    "security.secrets.rotateSecret": _secret,
    "security.secrets.deleteSecret": _secret,
    "security.secrets.revokeLease": _lease,
}
"""For what needs something of its own to be there first."""


def refusal(tool: str) -> str | None:
    """The error that a tool answers in this world whatever it is given; None for most."""
    if tool in ("master.approvals.get", "master.approvals.decide"):
        return "not_found"  # approvals are off, and nothing waits for one
    return "not_configured" if "ServiceNow" in tool else None
