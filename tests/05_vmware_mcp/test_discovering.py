"""What runs in a simulated vCenter comes into the CMDB, with what it runs on."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cmdb import build as build_cmdb
from cmdb.settings import Settings as CmdbSettings
from flotilla import CommonSettings, InvalidArgument, Spoke
from tests.backends.vcsim_server import Vcsim
from tests.conftest import StartFleet

from .conftest import Operator, Person, password_file, spoke_of

pytestmark = [pytest.mark.anyio, pytest.mark.real]


class Book:
    """The CMDB's tools beside those of VMware."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator

    async def __call__(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self.operator.client.call_tool(f"data.cmdb.{tool}", arguments)
        assert not result.is_error, result.content[0].text  # type: ignore[union-attr]
        assert result.structured_content is not None
        return result.structured_content


@asynccontextmanager
async def book_beside(spoke: Spoke, start_fleet: StartFleet, folder: Path) -> AsyncGenerator[Book]:
    url = f"sqlite:///{folder}/cmdb.sqlite3"
    cmdb = build_cmdb(CmdbSettings(database_url=url), CommonSettings(data_dir=folder / "data"))
    person = Person()
    async with (
        start_fleet([spoke, cmdb], approvals="off", timeout_s=60) as fleet,
        fleet.client(elicitation_callback=person) as client,
    ):
        yield Book(Operator(client, person))


async def test_a_vcenter_comes_into_the_cmdb_and_what_goes_is_retired(
    lab_vcenter: Vcsim, start_fleet: StartFleet, tmp_path: Path
) -> None:
    spoke = spoke_of(tmp_path / "spoke", {"lab": lab_vcenter.entry(password_file(tmp_path))})
    found = {"service": "vmware", "within": {"vcenter": "lab"}}
    async with book_beside(spoke, start_fleet, tmp_path) as book:
        plan = await book("previewReconcile", source="vmware", discover=found)
        assert not plan.get("problems"), plan["problems"]
        done = await book("applyReconcile", planId=plan["planId"])
        machines = (await book("searchItems", ciClass="virtual_machine", limit=100))["items"]
        names = {each["name"]: each for each in machines}
        assert {"lab/DC0_H0_VM0", "lab/DC0_C0_RP0_VM1"} <= set(names)
        assert done["created"] >= 4 + 4 + 1 + 2
        one = names["lab/DC0_C0_RP0_VM1"]
        assert one["attributes"]["cpu_count"] == 1
        assert one["attributes"]["account"] == "lab"
        relations = (await book("listRelations", id=one["id"]))["items"]
        kinds = {(each["type"], each["target"]["ciClass"]) for each in relations}
        assert {("runs_on", "server"), ("uses", "storage")} <= kinds
        hosts = (await book("searchItems", ciClass="server"))["items"]
        clustered = [each for each in hosts if each["name"] == "lab/DC0_C0_H0"]
        told = (await book("listRelations", id=clustered[0]["id"]))["items"]
        assert ("member_of", "lab/DC0_C0") in {
            (each["type"], each["target"]["name"]) for each in told
        }
        again = await book("previewReconcile", source="vmware", discover=found)
        assert (again["counts"]["creates"], again["counts"]["retires"]) == (0, 0)

        operator = book.operator
        made = await operator.done("cloneVirtualMachine", name="DC0_H0_VM0", newName="short-lived")
        more = await book("previewReconcile", source="vmware", discover=found)
        assert [each["name"] for each in more["creates"]] == ["lab/short-lived"]
        await book("applyReconcile", planId=more["planId"])
        await operator.done("deleteVirtualMachine", vmId=made["resultId"], name="short-lived")
        gone = await book("previewReconcile", source="vmware", discover=found)
        assert [each["name"] for each in gone["retires"]] == ["lab/short-lived"]


async def test_hundreds_of_machines_are_told_page_by_page_with_names_of_their_own(
    main_vcenter: Vcsim, tmp_path: Path
) -> None:
    spoke = spoke_of(tmp_path / "spoke", {"main": main_vcenter.entry(password_file(tmp_path))})
    assert spoke.discovery is not None
    async with spoke.lifespan():
        described = await spoke.discovery.describe({})
        assert described.within == {"vcenter": "main"}
        assert described.covers.attributes == {"provider": "vmware", "account": "main"}
        names: dict[str, list[str]] = {}
        cursor: str | None = None
        ends: set[tuple[str, str]] = set()
        while True:
            page = await spoke.discovery.page({}, cursor)
            for seen in page.items:
                names.setdefault(seen.ci_class, []).append(seen.name)
                assert seen.key is not None
                assert seen.key in seen.attributes
            ends |= {(each.target.ci_class, each.target.name) for each in page.relations}
            cursor = page.next_cursor
            if cursor is None:
                break
        assert len(names["virtual_machine"]) >= 300
        for told in names.values():
            assert len(set(told)) == len(told)
        # What a relation names is told as an item too.
        assert ends <= {(ci_class, name) for ci_class, told in names.items() for name in told}
        with pytest.raises(InvalidArgument):
            await spoke.discovery.describe({"cluster": "x"})
