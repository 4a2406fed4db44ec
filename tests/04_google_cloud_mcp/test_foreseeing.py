"""What a person is told before: the target, what changes, what goes with it, and what it costs."""

import json
from typing import Any

import pytest

from google_cloud.prices import Wanted, estimate, prices_of
from tests.conftest import until

from .conftest import PROD, Estate, OpenEstate

pytestmark = pytest.mark.anyio
ZONE = "europe-west1-b"


async def test_a_deletion_tells_which_disks_go_with_it_and_which_stay(estate: Estate) -> None:
    machine = estate.world.instance(PROD, ZONE, "web-1", deletionProtection=True)
    data = estate.world.disk(PROD, ZONE, "data", 500)
    machine["disks"].append(
        {
            "source": data["selfLink"],
            "deviceName": "data",
            "autoDelete": False,
            "diskSizeGb": "500",
            "type": "PERSISTENT",
        }
    )
    told = await estate.foreseen("deleteInstance", instance="web-1", zone=ZONE)
    assert told["target"] == (
        f"web-1 (instance {machine['id']} in {ZONE}, project {PROD}, account default)"
    )
    assert told["state"]["status"] == "RUNNING"
    warnings = " ".join(told["warnings"])
    assert "deleted with it: web-1 (10 GB)" in warnings
    assert "stay and are still paid for: data (500 GB)" in warnings
    assert "protected" in warnings
    assert estate.google.paths("DELETE") == estate.google.paths("POST", "/instances") == []


async def test_stopping_and_starting_tell_what_it_is_now_and_will_be(estate: Estate) -> None:
    estate.world.instance(PROD, ZONE, "web-1")
    stop = await estate.foreseen("stopInstance", instance="web-1")
    assert stop["changes"] == [{"field": "status", "before": "RUNNING", "after": "TERMINATED"}]
    start = await estate.foreseen("startInstance", instance="web-1")
    assert "It is RUNNING just now." in start["warnings"]
    reset = await estate.foreseen("resetInstance", instance="web-1")
    assert "HARD" in reset["action"]


async def test_labels_are_shown_as_they_change(estate: Estate) -> None:
    estate.world.instance(PROD, ZONE, "web-1", labels={"env": "prod", "team": "web"})
    merged = await estate.foreseen("setInstanceLabels", instance="web-1", labels={"env": "test"})
    assert merged["changes"] == [{"field": "labels.env", "before": "prod", "after": "test"}]
    alone = await estate.foreseen(
        "setInstanceLabels", instance="web-1", labels={"env": "test"}, mode="replace"
    )
    assert {each["field"]: each["after"] for each in alone["changes"]} == {
        "labels.env": "test",
        "labels.team": None,
    }


async def test_disks_are_told_with_who_uses_them(estate: Estate) -> None:
    estate.world.instance(PROD, ZONE, "web-1")
    told = await estate.foreseen("deleteDisk", disk="web-1", zone=ZONE)
    assert told["warnings"][0] == "It is in use by web-1: the call will be refused."
    told = await estate.foreseen("createDiskSnapshot", disk="web-1", zone=ZONE, snapshotName="s-1")
    assert told["changes"] == [{"field": "snapshot", "before": None, "after": "s-1"}]


NEW: dict[str, Any] = {
    "name": "web-9",
    "zone": ZONE,
    "machineType": "n2-standard-8",
    "image": "debian-cloud/family/debian-12",
    "diskSizeGb": 100,
    "externalIp": True,
}


async def test_a_creation_tells_all_of_it_and_that_its_price_is_unknown(estate: Estate) -> None:
    estate.world.instance(PROD, ZONE, "web-9")
    told = await estate.foreseen("createInstance", **NEW, startupScript="secret-script")
    assert told["monthlyCost"] is None
    assert told["state"] == {"exists": True}
    warnings = " ".join(told["warnings"])
    for word in ("already", "public internet", "Price unknown"):
        assert word in warnings
    shown = {each["field"]: each["after"] for each in told["changes"]}
    assert shown["machineType"] == "n2-standard-8 (8 CPUs, 32.0 GB)"
    assert shown["externalIp"] is True
    assert "secret-script" not in json.dumps(told)


def sku(description: str, nanos: int, family: str = "Compute", usage: str = "OnDemand") -> Any:
    rates = [{"unitPrice": {"currencyCode": "EUR", "units": "0", "nanos": nanos}}]
    return {
        "description": description,
        "category": {"resourceFamily": family, "usageType": usage},
        "serviceRegions": ["europe-west1"],
        "pricingInfo": [{"pricingExpression": {"tieredRates": rates}}],
    }


SKUS = [
    sku("N2 Instance Core running in Belgium", 30_000_000),
    sku("N2 Instance Ram running in Belgium", 4_000_000),
    sku("Spot Preemptible N2 Instance Core running in Belgium", 1_000_000, usage="Preemptible"),
    sku("N2 Custom Instance Core running in Belgium", 99_000_000),
    sku("Balanced PD Capacity in Belgium", 100_000_000, family="Storage"),
]
COST = round((0.03 * 8 + 0.004 * 32) * 730 + 0.1 * 100, 2)


def test_an_estimate_counts_cpus_memory_and_disk_and_nothing_it_does_not_know() -> None:
    table = prices_of(SKUS, "europe-west1")
    wanted = Wanted("europe-west1", "n2-standard-8", 8, 32768, "pd-balanced", 100, spot=False)
    cost = estimate(table, wanted)
    assert cost is not None
    assert (cost.amount, cost.currency) == (COST, "EUR")
    assert prices_of(SKUS, "us-central1") == {}
    for unknown in (
        Wanted("europe-west1", "c3-standard-8", 8, 32768, "pd-balanced", 100, spot=False),
        Wanted("europe-west1", "e2-medium", 2, 4096, "pd-balanced", 10, spot=False),
        Wanted("europe-west1", "n2-standard-8", 8, 32768, "pd-ssd", 100, spot=False),
        Wanted("europe-west1", "n2-standard-8", 8, 32768, "pd-balanced", 100, spot=True),
    ):
        assert estimate(table, unknown) is None


async def test_prices_are_asked_for_only_where_the_account_says_so_and_never_fail(
    open_estate: OpenEstate, tmp_path_factory: pytest.TempPathFactory
) -> None:
    estate = await open_estate(tmp_path_factory.mktemp("prices"), prices=True)
    told = await estate.foreseen("createInstance", **NEW)
    assert "Price unknown." in told["warnings"], "Google refuses the catalogue"
    estate.world.prices = {"skus": SKUS}

    async def is_known() -> bool:
        told = await estate.foreseen("createInstance", **NEW)
        return told["monthlyCost"] is not None and told["monthlyCost"]["amount"] == COST

    await until(is_known)
    asked = len(estate.google.paths("GET", "/skus"))
    await estate.foreseen("createInstance", **NEW)
    assert len(estate.google.paths("GET", "/skus")) == asked, "read once a day"
