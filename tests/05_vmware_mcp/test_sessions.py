"""Logins, sessions, certificates and a vCenter that misbehaves, against one that speaks SOAP."""

import asyncio
import hashlib
import ssl
import threading
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import pytest

from flotilla import Context, Deadline, Principal, Spoke
from flotilla.certificates import make_certificates
from flotilla.redaction import Redactor
from flotilla.tls import TRUSTED
from flotilla.toolbox import Toolbox
from tests.backends.soap_vcenter import PASSWORD, USER, SoapVCenter
from tests.backends.tls_server import TlsServer
from tests.conftest import StartFleet, until

from .conftest import Operator, Person, password_file, spoke_of

pytestmark = pytest.mark.anyio


class Desk:
    """A spoke without a hub, before a vCenter of ours."""

    def __init__(self, vcenter: SoapVCenter, server: TlsServer, folder: Path) -> None:
        self.vcenter = vcenter
        self.server = server
        self.folder = folder
        _, _, port = server.url.rpartition(":")
        self.entry: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": int(port),
            "user": USER,
            "password": password_file(folder, PASSWORD),
            "ca_file": str(server.trusted),
        }

    def spoke(
        self, *, without: str = "", settings: dict[str, Any] | None = None, **more: Any
    ) -> Spoke:
        entry = {key: value for key, value in {**self.entry, **more}.items() if key != without}
        return spoke_of(self.folder / "spoke", {"main": entry}, **(settings or {}))

    async def raw(
        self, spoke: Spoke, tool: str, deadline_s: float = 10, **arguments: Any
    ) -> dict[str, Any]:
        context = Context(
            principal=Principal("alice"),
            correlation_id="corr",
            deadline=Deadline.after(deadline_s),
            approved=True,
        )
        toolbox = Toolbox(spoke.tools, Redactor(spoke.secrets))
        return await toolbox.call(f"infra.vmware.{tool}", arguments, context)

    async def call(self, spoke: Spoke, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self.raw(spoke, tool, **arguments)
        assert not result["isError"], result["content"][0]["text"]
        return result["structuredContent"]

    async def refused(
        self, code: str, spoke: Spoke, tool: str, deadline_s: float = 10, **arguments: Any
    ) -> dict[str, Any]:
        result = await self.raw(spoke, tool, deadline_s, **arguments)
        assert result["isError"], result
        error: dict[str, Any] = result["_meta"]["io.flotilla/error"]
        assert error["code"] == code, error
        assert PASSWORD not in str(error)
        return error


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[Desk]:
    vcenter = SoapVCenter()
    for number in range(1, 6):
        vcenter.add_machine(f"vm-{number}", f"web-{number}", tools=number != 5)
    server = TlsServer(vcenter.application(), tmp_path / "tls")
    async with server.running():
        yield Desk(vcenter, server, tmp_path)


async def test_many_first_calls_log_in_once_and_the_end_logs_out(desk: Desk) -> None:
    spoke = desk.spoke()
    async with spoke.lifespan():
        async with anyio.create_task_group() as group:
            for _ in range(12):
                group.start_soon(lambda: desk.call(spoke, "listVirtualMachines"))
        assert desk.vcenter.count("Login") == 1
        assert desk.vcenter.count("CreateContainerView") <= 8
        assert len(desk.vcenter.sessions) == 1
    assert desk.vcenter.sessions == set()


async def test_a_session_that_has_ended_is_made_anew_once_and_work_is_done_once(desk: Desk) -> None:
    spoke = desk.spoke()
    async with spoke.lifespan():
        await desk.call(spoke, "listVirtualMachines")
        desk.vcenter.sessions.clear()
        task = await desk.call(spoke, "powerOff", vmId="vm-1")
        assert task["state"] == "success"
        assert desk.vcenter.count("Login") == 2
        # Refused the first time, done the second.
        assert desk.vcenter.count("PowerOffVM_Task") == 2
        assert (await desk.call(spoke, "listVirtualMachines"))["returned"] == 5


async def test_an_unused_session_is_logged_out(desk: Desk) -> None:
    spoke = desk.spoke(settings={"idle_logout_s": 0.1})
    async with spoke.lifespan():
        await desk.call(spoke, "listVirtualMachines")
        await until(lambda: not desk.vcenter.sessions)
        assert (await desk.call(spoke, "listVirtualMachines"))["returned"] == 5


async def test_a_wrong_password_is_shown_once_until_it_is_another(
    desk: Desk, capfd: pytest.CaptureFixture[str]
) -> None:
    wrong = desk.folder / "wrong"
    wrong.write_text("not-this-canary")
    spoke = desk.spoke(password=str(wrong))
    async with spoke.lifespan():
        for _ in range(3):
            error = await desk.refused("not_configured", spoke, "listVirtualMachines")
            assert error["upstreamCode"] == "InvalidLogin"
        assert desk.vcenter.count("Login") == 1
        wrong.write_text(PASSWORD)
        assert (await desk.call(spoke, "listVirtualMachines"))["returned"] == 5
        assert desk.vcenter.count("Login") == 2
    told = capfd.readouterr()
    assert "vcenter_refuses_login" in told.out + told.err
    assert "not-this-canary" not in told.out + told.err
    assert PASSWORD not in told.out + told.err


async def test_a_rotated_secret_ends_the_old_session_and_opens_the_next(desk: Desk) -> None:
    spoke = desk.spoke(password="secret:vmware/main")
    assert spoke.credentials is not None
    assert spoke.credentials.needs == ("vmware/main",)
    async with spoke.lifespan():
        error = await desk.refused("not_configured", spoke, "listVirtualMachines")
        assert "vmware/main" in error["message"]
        spoke.credentials.give({"vmware/main": PASSWORD})
        await desk.call(spoke, "listVirtualMachines")
        (old,) = desk.vcenter.sessions
        desk.vcenter.password = "Another-1"
        spoke.credentials.give({"vmware/main": "Another-1"})
        await desk.call(spoke, "listVirtualMachines")
        await until(lambda: old not in desk.vcenter.sessions)
        assert len(desk.vcenter.sessions) == 1


async def test_a_certificate_of_a_stranger_never_sees_the_password(
    desk: Desk, tmp_path: Path
) -> None:
    make_certificates(tmp_path / "other", "client", ["server"], names=["127.0.0.1"])
    for entry in (
        {"without": "ca_file"},
        {"ca_file": str(tmp_path / "other" / "client" / TRUSTED)},
        {"without": "ca_file", "thumbprint": "ab" * 32},
    ):
        spoke = desk.spoke(**entry)  # pyright: ignore[reportArgumentType]
        async with spoke.lifespan():
            # Twice: what was refused once is not trusted the second time.
            for _ in range(2):
                error = await desk.refused("not_configured", spoke, "listVirtualMachines")
                assert error["reason"] == "certificate"
    assert desk.vcenter.called == []


async def test_the_certificate_of_the_thumbprint_is_trusted_by_itself(desk: Desk) -> None:
    shown = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", desk.entry["port"]))
    own = hashlib.sha256(ssl.PEM_cert_to_DER_cert(shown)).hexdigest()
    pairs = ":".join(own[at : at + 2] for at in range(0, 64, 2)).upper()
    spoke = desk.spoke(without="ca_file", thumbprint=pairs)
    async with spoke.lifespan():
        assert (await desk.call(spoke, "listVirtualMachines"))["returned"] == 5


async def test_a_vcenter_that_hangs_is_given_up_in_time_and_its_threads_end(desk: Desk) -> None:
    spoke = desk.spoke(settings={"calls_at_once": 2})
    async with spoke.lifespan():
        await desk.call(spoke, "listVirtualMachines")
        desk.server.faults.hang("/sdk")
        with anyio.fail_after(5):
            # More than there are places: each is free again for the next.
            for _ in range(5):
                await desk.refused("timeout", spoke, "listVirtualMachines", deadline_s=0.2)
                # Those given up count until they have ended and the loop has heard of it.
                await until(lambda: len(_threads()) <= 1)
                await asyncio.sleep(0)
        await until(lambda: not _threads())
        desk.server.faults.clear()
        assert (await desk.call(spoke, "listVirtualMachines"))["returned"] == 5


async def test_a_cancelled_call_frees_its_thread_at_once(desk: Desk) -> None:
    spoke = desk.spoke()
    async with spoke.lifespan():
        await desk.call(spoke, "listVirtualMachines")
        desk.server.faults.hang("/sdk")
        asked = len(desk.server.asked)
        call = asyncio.create_task(desk.raw(spoke, "listVirtualMachines", 60))
        await until(lambda: len(desk.server.asked) > asked)
        call.cancel()
        await until(lambda: not _threads())
        desk.server.faults.clear()


async def test_an_answer_cut_or_broken_is_an_error_and_the_next_call_works(desk: Desk) -> None:
    spoke = desk.spoke()
    async with spoke.lifespan():
        await desk.call(spoke, "listVirtualMachines")
        for fault in (desk.server.faults.drop, desk.server.faults.garble):
            fault("/sdk")
            result = await desk.raw(spoke, "listVirtualMachines")
            error = result["_meta"]["io.flotilla/error"]
            assert error["code"] in ("upstream_error", "unavailable"), error
            assert (await desk.call(spoke, "listVirtualMachines"))["returned"] == 5


SOAP = '<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body>'
NO_ANSWERS = (
    "",
    "upstream connect error",
    "<html><body><h1>Bad Gateway</h1></body></html>",
    f"{SOAP}</Body></Envelope>",
    f'{SOAP}<LoginResponse xmlns="urn:vim25"><returnval>7</returnval></LoginResponse>'
    "</Body></Envelope>",
    f"{SOAP}<Fault><faultcode>x</faultcode><faultstring>no detail</faultstring></Fault>"
    "</Body></Envelope>",
)


async def test_what_is_no_answer_of_a_vcenter_is_never_taken_for_one(desk: Desk) -> None:
    calls: tuple[tuple[str, dict[str, Any]], ...] = (
        ("listVirtualMachines", {}),
        ("powerOff", {"vmId": "vm-1"}),
        ("shutdownGuest", {"vmId": "vm-1"}),
    )
    spoke = desk.spoke()
    async with spoke.lifespan():
        await desk.call(spoke, "listVirtualMachines")
        for body in NO_ANSWERS:
            desk.vcenter.instead = (500, body)
            await desk.refused("upstream_error", spoke, "listVirtualMachines")
            desk.vcenter.instead = (200, body)
            for tool, more in calls:
                await desk.refused("upstream_error", spoke, tool, **more)
        desk.vcenter.instead = None
        assert (await desk.call(spoke, "listVirtualMachines"))["returned"] == 5


async def test_a_lost_answer_to_a_change_is_never_told_as_done_or_as_not_done(desk: Desk) -> None:
    spoke = desk.spoke()
    async with spoke.lifespan():
        await desk.call(spoke, "listVirtualMachines")
        desk.server.faults.drop("/sdk")
        result = await desk.raw(spoke, "powerOff", vmId="vm-2")
        error = result["_meta"]["io.flotilla/error"]
        assert error["outcome"] == "unknown"
        assert "listTasks" in error["hint"]
        assert desk.vcenter.count("PowerOffVM_Task") == 1


async def test_a_vcenter_that_is_too_busy_is_obeyed(desk: Desk) -> None:
    spoke = desk.spoke()
    async with spoke.lifespan():
        await desk.call(spoke, "listVirtualMachines")
        desk.server.faults.throttle("/sdk", retry_after="7")
        error = await desk.refused("rate_limited", spoke, "listVirtualMachines")
        assert error["retryAfterMs"] == 7000
        desk.server.faults.fail("/sdk", 503, retry_after="3")
        error = await desk.refused("unavailable", spoke, "listVirtualMachines")
        assert (error["retryAfterMs"], error["upstreamStatus"]) == (3000, 503)
        assert (await desk.call(spoke, "listVirtualMachines"))["returned"] == 5


async def test_a_vcenter_that_is_away_is_unavailable(desk: Desk, tmp_path: Path) -> None:
    spoke = desk.spoke(port=1)
    async with spoke.lifespan():
        await desk.refused("unavailable", spoke, "listVirtualMachines")


async def test_small_answers_of_a_vcenter_are_followed_and_never_further_than_asked(
    desk: Desk,
) -> None:
    desk.vcenter.page = 2
    spoke = desk.spoke()
    async with spoke.lifespan():
        page = await desk.call(spoke, "listVirtualMachines", limit=4)
        assert [each["vmId"] for each in page["items"]] == ["vm-1", "vm-2", "vm-3", "vm-4"]
        # What was not wanted is forgotten there, while nobody waits for that.
        await until(lambda: not desk.vcenter.rests)
        assert desk.vcenter.count("CancelRetrievePropertiesEx") == 1
        rest = await desk.call(spoke, "listVirtualMachines", limit=4, cursor=page["nextCursor"])
        assert [each["vmId"] for each in rest["items"]] == ["vm-5"]
        assert "nextCursor" not in rest


async def test_a_cursor_outlives_the_service_that_gave_it(desk: Desk) -> None:
    first, second = desk.spoke(), desk.spoke()
    async with first.lifespan(), second.lifespan():
        page = await desk.call(first, "listVirtualMachines", limit=2)
        seen = [each["vmId"] for each in page["items"]]
        while "nextCursor" in page:
            page = await desk.call(
                second, "listVirtualMachines", limit=2, cursor=page["nextCursor"]
            )
            seen += [each["vmId"] for each in page["items"]]
        # Nothing is missed; the worst is that the first page comes again.
        assert set(seen) == {f"vm-{number}" for number in range(1, 6)}


async def test_a_refused_right_is_named(desk: Desk) -> None:
    desk.vcenter.add_machine("vm-9", "forbidden")
    spoke = desk.spoke()
    async with spoke.lifespan():
        error = await desk.refused("not_allowed", spoke, "powerOff", vmId="vm-9")
        assert error["privilegeId"] == "VirtualMachine.Interact.PowerOff"
        assert error["upstreamCode"] == "NoPermission"


async def test_through_the_hub_a_guest_is_rebooted_and_one_without_tools_is_told(
    desk: Desk, start_fleet: StartFleet
) -> None:
    person = Person()
    async with (
        start_fleet([desk.spoke()]) as fleet,
        fleet.client(elicitation_callback=person) as client,
    ):
        operator = Operator(client, person)
        told = await operator("reboot", vmId="vm-1")
        assert (told["asked"], told["name"]) == ("reboot", "web-1")
        assert desk.vcenter.count("RebootGuest") == 1
        assert "Reboot the guest of the virtual machine web-1" in person.asked[-1]
        error = await operator.refused("conflict", "reboot", vmId="vm-5")
        assert error["upstreamCode"] == "ToolsUnavailable"
        assert "powerOff" in error["hint"]
        assert "VMware Tools do not run in it" in person.asked[-1]


def _threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("vCenter main")]
