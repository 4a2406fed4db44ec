from typing import Any

import pytest

from flotilla import NotFound, meta
from master.catalogue import Catalogue, Origin, View
from master.offer import Offer

SAFE, DOTTED = View("safe"), View("dotted")


def tool(name: str, **marks: Any) -> dict[str, Any]:
    return {"name": name, "description": "d", "inputSchema": {"type": "object"}, "_meta": marks}


def tools(*names: str) -> Offer:
    return Offer({"tools": tuple(tool(name) for name in names)})


@pytest.fixture
def catalogue() -> Catalogue:
    namespaces = {"master": "master", "files": "os.files", "cmdb": "data.cmdb"}
    made = Catalogue({name: Origin(frozenset([own])) for name, own in namespaces.items()})
    made.offer("cmdb", tools("data.cmdb.getItem"))
    made.offer("files", tools("os.files.read", "os.files.wipe"))
    return made


def names(catalogue: Catalogue, view: View) -> list[str]:
    return [listed["name"] for listed in catalogue.listing(view)]


def test_the_order_is_that_of_the_services_and_not_of_their_arrival(catalogue) -> None:
    assert names(catalogue, SAFE) == ["os_files_read", "os_files_wipe", "data_cmdb_getItem"]
    assert names(catalogue, DOTTED) == ["os.files.read", "os.files.wipe", "data.cmdb.getItem"]
    assert names(catalogue, View("dotted", "cmdb")) == ["data.cmdb.getItem"]


def test_a_tool_is_found_by_either_name_within_its_view(catalogue) -> None:
    for name in ("os.files.read", "os_files_read"):
        assert catalogue.find(name, SAFE).service == "files"
    with pytest.raises(NotFound):
        catalogue.find("os.files.read", View("dotted", "cmdb"))


def test_a_misspelt_name_is_answered_with_the_nearest(catalogue) -> None:
    with pytest.raises(NotFound) as raised:
        catalogue.find("os_files_raed", SAFE)
    assert raised.value.hint.startswith("Did you mean os_files_read")
    with pytest.raises(NotFound) as raised:
        catalogue.find("x" * 10_000, SAFE)
    assert len(raised.value.message) < 200


def test_only_what_changed_is_news(catalogue) -> None:
    assert catalogue.offer("cmdb", tools("data.cmdb.getItem")) == (frozenset(), [])
    assert catalogue.listing(SAFE) is catalogue.listing(SAFE)
    changed, _ = catalogue.offer("cmdb", tools("data.cmdb.getItem", "data.cmdb.find"))
    assert changed
    assert names(catalogue, SAFE)[-1] == "data_cmdb_find"
    assert catalogue.count("cmdb") == 2


def test_a_service_cannot_offer_what_is_not_its_own(catalogue) -> None:
    changed, dropped = catalogue.offer(
        "cmdb",
        Offer(
            {
                "tools": (
                    tool("data.cmdb.getItem"),
                    tool("os.files.read"),
                    tool("master.listServices"),
                    tool("data.cmdb.a_b"),
                    tool("data.cmdb_a.b"),
                    tool("data.cmdb.getItem"),
                    tool("data.cmdb." + "x" * 60),
                    tool(""),
                    {},
                )
            }
        ),
    )
    assert changed
    assert [each.name[:20] for each in dropped] == [
        "os.files.read",
        "master.listServices",
        "data.cmdb_a.b",
        "data.cmdb.getItem",
        "data.cmdb.xxxxxxxxxx",
        "",
        "",
    ]
    assert catalogue.find("os.files.read", SAFE).service == "files"


def test_a_service_that_is_away_keeps_its_tools_marked_stale(catalogue) -> None:
    assert catalogue.mark_stale("files")
    assert not catalogue.mark_stale("files")
    stale = [each for each in catalogue.listing(SAFE) if meta.STALE in each["_meta"]]
    assert [each["name"] for each in stale] == ["os_files_read", "os_files_wipe"]
    assert catalogue.find("os.files.read", SAFE)
    changed, _ = catalogue.offer("files", tools("os.files.read", "os.files.wipe"))
    assert changed
    assert not any(meta.STALE in each["_meta"] for each in catalogue.listing(SAFE))


def test_what_is_not_configured_is_left_out_but_stays_callable(catalogue) -> None:
    missing = {meta.NOT_CONFIGURED: "set CMDB_DATABASE_URL"}
    catalogue.offer("cmdb", Offer({"tools": (tool("data.cmdb.getItem", **missing),)}))
    assert "data_cmdb_getItem" not in names(catalogue, SAFE)
    assert names(catalogue, View("dotted", "cmdb")) == ["data.cmdb.getItem"]
    assert catalogue.find("data_cmdb_getItem", SAFE)
    assert catalogue.not_configured("cmdb") == "set CMDB_DATABASE_URL"
    assert catalogue.not_configured("files") is None
