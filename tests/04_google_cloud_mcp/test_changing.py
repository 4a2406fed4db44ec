"""Every tool that changes something, through the hub, and what Google has afterwards."""

import json

import pytest

from .conftest import PROD, Estate, followed

pytestmark = pytest.mark.anyio
ZONE = "europe-west1-b"
SSH = "ada:ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ0 ada@acme"
NEW = {
    "name": "web-9",
    "zone": ZONE,
    "machineType": "e2-standard-2",
    "image": "debian-cloud/family/debian-12",
}


async def test_a_machine_is_created_labelled_snapshotted_and_deleted_with_its_disk(
    estate: Estate,
) -> None:
    begun = await estate.call(
        "createInstance", **NEW, diskSizeGb=20, labels={"owner": "ada", "expires": "2027-01-01"}
    )
    assert (begun["action"], begun["outcome"]) == ("insert", "running")
    assert (await followed(estate, begun))["outcome"] == "succeeded"
    there = await estate.call("getInstance", instance="web-9")
    assert (there["status"], there["machineType"], there["labels"]["owner"]) == (
        "RUNNING",
        "e2-standard-2",
        "ada",
    )
    assert (there["externalIps"], there["serviceAccounts"]) == ([], [])

    labelled = await estate.call("setInstanceLabels", instance="web-9", labels={"env": "test"})
    assert (await followed(estate, labelled))["outcome"] == "succeeded"
    assert estate.world.instances[PROD, ZONE, "web-9"]["labels"] == {
        "owner": "ada",
        "expires": "2027-01-01",
        "env": "test",
    }

    snapshot = await estate.call(
        "createDiskSnapshot", disk="web-9", zone=ZONE, snapshotName="before", labels={"a": "b"}
    )
    assert (await followed(estate, snapshot))["outcome"] == "succeeded"
    made = estate.world.snapshots[PROD, "global", "before"]
    assert (made["labels"], made["sourceDisk"].endswith("/disks/web-9")) == ({"a": "b"}, True)

    gone = await estate.call("deleteInstance", instance="web-9", zone=ZONE, confirmName="web-9")
    assert (await followed(estate, gone))["outcome"] == "succeeded"
    assert estate.world.instances == {}
    assert estate.world.disks == {}, "its boot disk was set to go with it"


async def test_a_new_machine_is_as_bare_as_it_can_be_unless_more_is_asked_for(
    estate: Estate,
) -> None:
    await estate.call("createInstance", **NEW)
    (bare,) = [each for each in estate.google.tls.asked if each.method == "POST" and each.body]
    body = json.loads(bare.body)
    assert "accessConfigs" not in body["networkInterfaces"][0]
    assert "serviceAccounts" not in body
    assert body["disks"][0]["initializeParams"]["sourceImage"] == (
        "projects/debian-cloud/global/images/family/debian-12"
    )
    assert body["shieldedInstanceConfig"]["enableVtpm"] is True

    await estate.call(
        "createInstance",
        **{**NEW, "name": "web-8"},
        externalIp=True,
        serviceAccount="robot@acme-prod.iam.gserviceaccount.com",
        sshPublicKeys=[SSH],
        startupScript="#!/bin/sh\necho canary-script-4711",
        networkTags=["web"],
        subnetwork="inner",
        spot=True,
    )
    body = json.loads(estate.google.tls.asked[-1].body)
    assert body["networkInterfaces"][0]["accessConfigs"][0]["type"] == "ONE_TO_ONE_NAT"
    assert body["networkInterfaces"][0]["subnetwork"].endswith("europe-west1/subnetworks/inner")
    assert body["scheduling"]["provisioningModel"] == "SPOT"
    assert {each["key"] for each in body["metadata"]["items"]} == {"ssh-keys", "startup-script"}
    seen = await estate.call("getInstance", instance="web-8")
    assert "canary-script-4711" not in json.dumps(seen)
    assert [each["user"] for each in seen["sshKeys"]] == ["ada"]


async def test_metadata_is_keys_of_people_and_nothing_that_breaks_out_of_a_line(
    estate: Estate,
) -> None:
    for keys in (["ada:ssh-ed25519 AAAA x\nroot:ssh-ed25519 BBBB"], ["no key"]):
        error = await estate.fails("createInstance", **NEW, sshPublicKeys=keys)
        assert error["code"] == "invalid_argument"
    error = await estate.fails("createInstance", **{**NEW, "image": "../../x"})
    assert error["code"] == "invalid_argument"
    assert estate.google.paths("POST", "/instances") == []


async def test_what_exists_already_and_what_does_not_is_told_as_google_tells_it(
    estate: Estate,
) -> None:
    estate.world.instance(PROD, ZONE, "web-9")
    error = await estate.fails("createInstance", **NEW)
    assert (error["code"], error["reason"], error["upstreamStatus"]) == (
        "conflict",
        "alreadyExists",
        409,
    )
    error = await estate.fails(
        "createInstance", **{**NEW, "name": "web-8", "machineType": "e9-huge"}
    )
    assert (error["code"], error["reason"]) == ("invalid_argument", "invalid")


async def test_labels_that_changed_meanwhile_are_not_overwritten(estate: Estate) -> None:
    machine = estate.world.instance(PROD, ZONE, "web-1")
    seen = await estate.call("getInstance", instance="web-1")
    machine.update(labels={"env": "dr"}, labelFingerprint="another")
    error = await estate.fails(
        "setInstanceLabels",
        instance="web-1",
        labels={"env": "test"},
        fingerprint=seen["labelFingerprint"],
    )
    assert (error["code"], error["reason"]) == ("conflict", "stale_fingerprint")
    assert machine["labels"] == {"env": "dr"}
    begun = await estate.call(
        "setInstanceLabels", instance="web-1", labels={"team": "web"}, mode="replace"
    )
    await followed(estate, begun)
    assert machine["labels"] == {"team": "web"}


async def test_deleting_takes_the_name_twice_and_respects_protection(estate: Estate) -> None:
    estate.world.instance(PROD, ZONE, "web-1", deletionProtection=True)
    error = await estate.fails("deleteInstance", instance="web-1", zone=ZONE, confirmName="web-2")
    assert error["reason"] == "name_not_confirmed"
    error = await estate.fails("deleteInstance", instance="web-1", zone=ZONE, confirmName="web-1")
    assert (error["code"], error["reason"]) == ("conflict", "deletion_protected")
    assert estate.google.paths("DELETE") == []


async def test_a_disk_is_deleted_but_not_one_in_use(estate: Estate) -> None:
    estate.world.instance(PROD, ZONE, "web-1")
    estate.world.disk(PROD, ZONE, "spare")
    error = await estate.fails("deleteDisk", disk="web-1", zone=ZONE, confirmName="web-1")
    assert (error["reason"], error["usedBy"]) == ("disk_in_use", ["web-1"])
    error = await estate.fails("deleteDisk", disk="spare", zone=ZONE, confirmName="other")
    assert error["reason"] == "name_not_confirmed"
    begun = await estate.call("deleteDisk", disk="spare", zone=ZONE, confirmName="spare")
    assert (await followed(estate, begun))["outcome"] == "succeeded"
    assert set(estate.world.disks) == {(PROD, ZONE, "web-1")}


async def test_a_reset_is_hard_and_only_for_what_runs(estate: Estate) -> None:
    machine = estate.world.instance(PROD, ZONE, "web-1")
    begun = await estate.call("resetInstance", instance="web-1")
    assert (await followed(estate, begun))["outcome"] == "succeeded"
    assert machine["_resets"] == 1
    machine["status"] = "TERMINATED"
    error = await estate.fails("resetInstance", instance="web-1")
    assert (error["code"], error["reason"]) == ("invalid_argument", "resourceNotReady")


async def test_an_operation_that_fails_is_told_as_failed_with_googles_reason(
    estate: Estate,
) -> None:
    machine = estate.world.instance(PROD, ZONE, "web-1", status="TERMINATED")
    estate.world.fails = {
        "start": (403, "QUOTA_EXCEEDED", "Quota 'CPUS' exceeded. Limit: 8.0 in region x.")
    }
    ended = await followed(estate, await estate.call("startInstance", instance="web-1"))
    assert (ended["outcome"], ended["status"]) == ("failed", "DONE")
    assert (ended["error"]["code"], ended["error"]["upstreamCode"]) == (
        "rate_limited",
        "QUOTA_EXCEEDED",
    )
    assert machine["status"] != "RUNNING"


async def test_waiting_ends_with_its_time_and_says_that_the_operation_goes_on(
    estate: Estate,
) -> None:
    estate.world.instance(PROD, ZONE, "web-1")
    begun = await estate.call("stopInstance", instance="web-1")
    estate.world.held = True
    found = await estate.call("getOperation", operationId=begun["operationId"], waitS=1)
    assert found["outcome"] == "running"
    estate.world.held = False
    estate.world.let_go.set()
    assert (await followed(estate, begun))["outcome"] == "succeeded"
    for wrong in (
        "x",
        "projects/acme-prod/zones/../operations/x",
        "projects/../zones/a/operations/x",
        "projects/acme-prod/global/operations/x%2F..",
        "projects/acme-prod/global/operations/x\n",
    ):
        error = await estate.fails("getOperation", operationId=wrong)
        assert error["code"] == "invalid_argument"


async def test_progress_is_told_while_an_operation_is_waited_for(estate: Estate) -> None:
    estate.world.instance(PROD, ZONE, "web-1")
    estate.world.looks = 4
    told: list[str | None] = []

    async def progress(_progress: float, _total: float | None, message: str | None) -> None:
        told.append(message)

    begun = await estate.call("stopInstance", instance="web-1")
    result = await estate.client.call_tool(
        "cloud.gcp.getOperation",
        {"operationId": begun["operationId"], "waitS": 10},
        progress_callback=progress,
    )
    assert result.structured_content is not None
    assert result.structured_content["outcome"] == "succeeded"
    assert told and told[0] is not None
    assert "stop of web-1" in told[0]
