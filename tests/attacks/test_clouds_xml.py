"""What stands in an argument for vSphere is never a part of the XML that goes there."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from flotilla import CommonSettings
from tests.backends import soap_vcenter as soap
from tests.backends.tls_server import TlsServer
from tests.chaos.caller import Caller
from tests.conftest import StartFleet
from vmware import build
from vmware.settings import Settings

from .clouds_corpus import payloads, strange
from .schemas import put, spots
from .world import all_tools, caller

pytestmark = [pytest.mark.anyio, pytest.mark.real]

READER = {
    "infra.vmware.getTask": {"taskId": "task-1"},
    "infra.vmware.getVirtualMachine": {"vmId": "vm-1"},
    "infra.vmware.getHost": {"hostId": "host-1"},
    "infra.vmware.listSnapshots": {"vmId": "vm-1"},
    "infra.vmware.listVirtualMachines": {"hostId": "host-1", "nameContains": "web"},
    "infra.vmware.listEvents": {"vmId": "vm-1", "types": ["VmPoweredOnEvent"]},
    "infra.vmware.getPerformance": {"vmId": "vm-1"},
    "infra.vmware.powerOff": {"vmId": "vm-1"},
}
"""Whatever else comes of them, these put their arguments into a request at once."""
ASKED = (
    "task-1</obj></objectSet><propSet><type>VirtualMachine</type><all>true</all></propSet><x>",
    "vm-1</_this></RetrievePropertiesEx><Destroy_Task><_this>vm-1</_this></Destroy_Task>",
    "vm-1&lt;/obj&gt;", "&amp;", "vm-1&#60;x&#62;", "<![CDATA[vm-1]]>", "vm-1<!-- -->",
)  # fmt: skip

FITTING = ("xml", "envelope", "line", "NUL", "half")
"""Kinds of texts of the others that may do harm in XML."""


@pytest.fixture
async def asked(
    start_fleet: StartFleet, tmp_path: Any
) -> AsyncGenerator[tuple[Caller, TlsServer, Any]]:
    vcenter = soap.SoapVCenter()
    vcenter.add_machine("vm-1", "web-1")
    server = TlsServer(vcenter.application(), tmp_path / "tls")
    async with server.running():
        password = tmp_path / "password"
        password.write_text(soap.PASSWORD)
        file = tmp_path / "vmware.yaml"
        file.write_text(
            "vcenters: {main: {host: 127.0.0.1, user: 'operator@vsphere.local', "
            f"port: {server.url.rpartition(':')[2]}, password: {password}, "
            f"ca_file: {server.trusted}}}}}\n"
        )
        spoke = build(Settings(config=file), CommonSettings(data_dir=tmp_path / "data"))
        async with start_fleet([spoke], approvals="off") as fleet, caller(fleet) as client:
            yield client, server, vcenter


async def test_a_reader_puts_no_other_question_into_a_request(
    asked: tuple[Caller, TlsServer, Any],
) -> None:
    client, server, vcenter = asked
    listing = await all_tools(client)
    assert (await client.call("infra.vmware.getVirtualMachine", {"vmId": "vm-1"})).code is None
    before, told = len(server.asked), 0
    others = [text for kind, text in payloads(1).items() if kind.startswith(FITTING)]
    for tool, given in READER.items():
        schema = listing[tool]["inputSchema"]
        for spot in spots(schema):
            name = spot.steps[0]
            rest = {} if name in ("name", "hostId") else given
            # What an ID is checked for, a name and a type may hold: it is written as text.
            for text in ASKED if name.endswith("Id") else others:
                for arguments in put(schema, rest, spot, text):
                    await client.call(tool, arguments)
                    told += 1
    wrong = [
        f"{bad}: {each.body.decode(errors='replace')[-600:]}"
        for each in server.asked
        if (bad := strange("infra.vmware.", each)) is not None
    ]
    assert not wrong, "\n".join(wrong[:5])
    assert told > 60 and len(server.asked) > before
    assert "Destroy_Task" not in vcenter.called
