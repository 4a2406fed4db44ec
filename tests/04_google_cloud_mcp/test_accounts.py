"""How accounts sign in: keys that rotate, service accounts in another's place, Google's chain."""

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from flotilla import CommonSettings, Deadline, Misconfigured, NotAllowed, NotConfigured
from flotilla.accounts import Accounts
from flotilla.credentials import Credentials
from google_cloud import build
from google_cloud.cloud import Cloud, accounts_of, has_default_credentials
from google_cloud.settings import GoogleAccount, Settings
from tests.backends.google import GoogleServer
from tests.conftest import until

from .conftest import PROD, write_accounts

pytestmark = pytest.mark.anyio
DUE_S = 20


def cloud_of(accounts: dict[str, Any], needs: tuple[str, ...] = ()) -> tuple[Cloud, Credentials]:
    entries = {alias: GoogleAccount.model_validate(each) for alias, each in accounts.items()}
    credentials = Credentials(needs)
    return Cloud(Settings(), Accounts("account", Path("x.yaml"), entries), credentials), credentials


async def zones(cloud: Cloud, account: str | None = None, project: str | None = None) -> int:
    due = Deadline.after(DUE_S)
    aim = await cloud.aim(due, account, project)

    def work(google: Any, timeout_s: float) -> int:
        from google.cloud import compute_v1

        client = google.of(compute_v1.ZonesClient)
        return len(list(client.list(project=aim.project, retry=None, timeout=timeout_s)))

    return await cloud.read(due, aim, work)


async def test_a_rotated_key_is_used_at_the_next_call(tmp_path: Path) -> None:
    google = GoogleServer(tmp_path)
    old = google.world.service_account("old", [PROD])
    new = google.world.service_account("new", [PROD])
    async with google.running():
        cloud, credentials = cloud_of({"a": google.account("secret:gcp/key")}, ("gcp/key",))
        with pytest.raises(NotConfigured) as missing:
            await zones(cloud)
        assert missing.value.details["reason"] == "not_brought"
        credentials.give({"gcp/key": old})
        assert await zones(cloud) == 4
        credentials.give({"gcp/key": new})
        assert await zones(cloud) == 4
        assert [email.split("@")[0] for email in google.world.granted] == ["old", "new"]
        credentials.give({"gcp/key": "no JSON"})
        with pytest.raises(NotConfigured) as bad:
            await zones(cloud)
        assert bad.value.details["reason"] == "bad_key"
        credentials.give({"gcp/key": json.dumps({**json.loads(old), "private_key": "canary-key"})})
        with pytest.raises(NotConfigured) as bad:
            await zones(cloud)
        assert "canary-key" not in repr(bad.value) + str(bad.value.details)
        cloud.close()


async def test_a_key_that_google_knows_no_more_is_about_this_service_and_not_the_caller(
    tmp_path: Path,
) -> None:
    google = GoogleServer(tmp_path)
    key = json.loads(google.world.service_account("robot", [PROD]))
    other = json.loads(google.world.service_account("other", [PROD]))
    file = tmp_path / "key.json"
    file.write_text(json.dumps({**key, "private_key": other["private_key"]}))
    async with google.running():
        cloud, _ = cloud_of({"a": google.account(str(file))})
        with pytest.raises(NotConfigured) as refused:
            await zones(cloud)
        assert refused.value.details["reason"] == "sign_in_refused"
        cloud.close()


async def test_another_service_account_is_impersonated(tmp_path: Path) -> None:
    google = GoogleServer(tmp_path)
    file = tmp_path / "key.json"
    file.write_text(google.world.service_account("robot", ["home-lab"]))
    google.world.service_account("auditor", [PROD], home="audit-lab")
    auditor, robot = (
        "auditor@audit-lab.iam.gserviceaccount.com",
        "robot@home-lab.iam.gserviceaccount.com",
    )
    account = {"credential": "impersonate", "impersonate": auditor, "project": PROD}
    async with google.running():
        cloud, _ = cloud_of({"a": {**google.account(str(file)), **account}})
        with pytest.raises(NotConfigured):
            await zones(cloud)
        google.world.may_become = {(robot, auditor)}
        assert await zones(cloud) == 4
        cloud.close()


async def test_what_was_given_up_before_google_was_asked_is_not_done_afterwards(
    tmp_path: Path,
) -> None:
    google = GoogleServer(tmp_path)
    key = google.world.service_account("robot", [PROD])
    signing_in, go_on, over = threading.Event(), threading.Event(), threading.Event()

    class SlowCredentials(Credentials):
        def get(self, name: str) -> str:
            signing_in.set()
            go_on.wait(10)
            over.set()
            return key

    async with google.running():
        account = GoogleAccount.model_validate(google.account("secret:gcp/key", project=PROD))
        accounts = Accounts("account", Path("x.yaml"), {"a": account})
        cloud = Cloud(Settings(), accounts, SlowCredentials(["gcp/key"]))
        done: list[str] = []
        due = Deadline.after(DUE_S)
        aim = await cloud.aim(due, None, None)
        call = asyncio.create_task(cloud.change(due, aim, lambda _g, _s, rid: done.append(rid)))
        await until(signing_in.is_set)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        go_on.set()
        await until(over.is_set)
        assert await zones(cloud) == 4
        assert done == []
        cloud.close()


async def test_another_project_pays_for_the_requests_where_the_account_says_so(
    tmp_path: Path,
) -> None:
    google = GoogleServer(tmp_path)
    file = tmp_path / "key.json"
    file.write_text(google.world.service_account("robot", [PROD]))
    async with google.running():
        cloud, _ = cloud_of({"a": google.account(str(file), quota_project="acme-ops")})
        assert await zones(cloud) == 4
        assert google.tls.asked[-1].headers["x-goog-user-project"] == "acme-ops"
        cloud.close()


async def test_a_stranger_in_googles_place_is_not_trusted(tmp_path: Path) -> None:
    google = GoogleServer(tmp_path)
    file = tmp_path / "key.json"
    file.write_text(google.world.service_account("robot", [PROD]))
    async with google.running():
        cloud, _ = cloud_of({"a": {**google.account(str(file)), "ca_file": None}})
        with pytest.raises(Exception, match=r"token|certificate"):
            await zones(cloud)
        assert google.tls.asked == []
        cloud.close()


async def test_an_account_is_used_for_its_own_projects_alone(tmp_path: Path) -> None:
    google = GoogleServer(tmp_path)
    file = tmp_path / "key.json"
    file.write_text(google.world.service_account("robot", [PROD, "acme-test"]))
    async with google.running():
        cloud, _ = cloud_of({"a": google.account(str(file), projects=[PROD])})
        assert await zones(cloud) == 4
        with pytest.raises(NotAllowed) as refused:
            await zones(cloud, project="acme-test")
        assert refused.value.details["reason"] == "project_not_allowed"
        cloud.close()


@pytest.mark.parametrize(
    "account",
    [
        {"credential": "service_account"},
        {"credential": "default", "key": "secret:x"},
        {"credential": "impersonate"},
        {"key": "the key itself", "credential": "service_account"},
        {"endpoints": {"compute": "http://plain.example"}},
        {"endpoints": {"compute": "https://user:pass@example.com"}},
        {"project": "a-project", "projects": ["another-one"]},
        {"colour": "blue"},
    ],
)
def test_a_mistake_in_the_file_stops_the_start(tmp_path: Path, account: dict[str, Any]) -> None:
    file = write_accounts(tmp_path / "google_cloud.yaml", {"a": account})
    with pytest.raises(Misconfigured, match=r"accounts\.a"):
        accounts_of(Settings(config=file), tmp_path, {})


def test_without_accounts_the_spoke_says_what_to_do(tmp_path: Path) -> None:
    accounts = accounts_of(Settings(), tmp_path, {"HOME": str(tmp_path)})
    assert len(accounts) == 0
    file = write_accounts(tmp_path / "google_cloud.yaml", {})
    spoke = build(Settings(config=file), CommonSettings(data_dir=tmp_path, config_dir=tmp_path))
    assert spoke.not_configured == "set up an account in config/google_cloud.yaml"


def test_googles_chain_is_used_only_where_the_machine_says_that_there_is_one(
    tmp_path: Path,
) -> None:
    assert not has_default_credentials({"HOME": str(tmp_path)})
    for env in (
        {"GOOGLE_APPLICATION_CREDENTIALS": "/key.json"},
        {"K_SERVICE": "web"},
        {"GCE_METADATA_HOST": "169.254.169.254"},
    ):
        assert has_default_credentials({"HOME": str(tmp_path), **env})
    (tmp_path / "application_default_credentials.json").write_text("{}")
    assert has_default_credentials({"CLOUDSDK_CONFIG": str(tmp_path)})
    accounts = accounts_of(Settings(), tmp_path, {"CLOUDSDK_CONFIG": str(tmp_path)})
    assert accounts.chosen(None)[0] == "default"
