"""What every tool promises, what it takes, and that none of them says a secret."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples_of
from hypothesis import strategies as st
from pydantic.alias_generators import to_camel

from flotilla import CommonSettings, InvalidArgument
from flotilla.toolbox import error_code_of
from secret_store import build
from secret_store.generation import Recipe, generated
from secret_store.paths import check_path
from secret_store.settings import Settings

if TYPE_CHECKING:
    from io import StringIO

    from conftest import Opened, Store

pytestmark = pytest.mark.anyio

CANARY = "canary-7f3e9a51c2-value"
USER = "os.linux.runCommand"
READS = "listSecrets getMetadata exists queryAudit scanText"
WRITES = "generateSecret leaseSecret runWithSecret"
ASKS = "writeSecret rotateSecret revokeLease"
DESTROYS = "deleteSecret"
REVEALS = "revealSecret"
TOOLS = sorted(f"{READS} {WRITES} {ASKS} {DESTROYS}".split())


def test_the_tools_are_those_of_the_catalogue_with_true_annotations(tmp_path: Path) -> None:
    tools = build(Settings(), CommonSettings(data_dir=tmp_path)).tools
    kinds = {
        "reads": {tool.name for tool in tools if tool.read_only},
        "asks": {tool.name for tool in tools if tool.approval and not tool.destructive},
        "destroys": {tool.name for tool in tools if tool.destructive and tool.approval},
    }
    assert sorted(tool.name for tool in tools) == [f"security.secrets.{name}" for name in TOOLS]
    assert kinds["reads"] == {f"security.secrets.{name}" for name in READS.split()}
    assert kinds["asks"] == {f"security.secrets.{name}" for name in ASKS.split()}
    assert kinds["destroys"] == {f"security.secrets.{name}" for name in DESTROYS.split()}


def test_nothing_reveals_a_value_unless_the_operator_wants_it(tmp_path: Path) -> None:
    settings = Settings.from_env({"SECRETS_REVEAL": "on"})
    (revealing,) = [
        tool
        for tool in build(settings, CommonSettings(data_dir=tmp_path)).tools
        if tool.name == "security.secrets.revealSecret"
    ]
    assert revealing.approval and not revealing.read_only


async def test_every_operation_is_the_hubs_or_the_owners(small: Store) -> None:
    assert {name for name, is_hubs in small.roles().items() if is_hubs} == {
        "resolve",
        "credentials",
        "released",
    }
    assert {name for name, is_hubs in small.roles().items() if not is_hubs} == {
        *("write", "generate", "rotate", "allow", "delete", "list", "show", "versions"),
        *("leases", "revoke", "rewrap", "verify"),
    }


async def test_every_result_fits_its_output_schema(small: Store) -> None:
    await small.write()
    lease = await small.lease()
    calls: list[tuple[str, dict[str, Any]]] = [
        ("listSecrets", {}),
        ("getMetadata", {"path": "db/password"}),
        ("exists", {"path": "none"}),
        ("queryAudit", {}),
        ("scanText", {"text": CANARY}),
        ("generateSecret", {"path": "key", "kind": "ed25519", "tags": ["a"]}),
        ("leaseSecret", {"path": "db/password", "tool": USER}),
        ("revokeLease", {"lease": lease["leaseId"]}),
        ("rotateSecret", {"path": "key"}),
        ("deleteSecret", {"path": "key"}),
    ]
    for tool, arguments in calls:
        result = await small(tool, **arguments)
        schema = small.tools.listed(f"security.secrets.{tool}")["outputSchema"]
        jsonschema.Draft202012Validator(schema).validate(result)


async def test_a_value_from_the_conversation_is_refused_and_not_repeated(small: Store) -> None:
    error = await small.refused("not_allowed", "writeSecret", path="a", value="hunter2-hunter2")
    assert error["reason"] == "value_in_conversation"
    assert "hunter2" not in str(error)
    assert (await small("listSecrets"))["items"] == []


async def test_a_value_from_the_conversation_is_taken_where_policy_allows_it(
    embedded: Settings, opened: Opened, tmp_path: Path
) -> None:
    settings = embedded.model_copy(update={"write_from_chat": "on"})
    async with opened(settings, tmp_path) as store:
        info = await store("writeSecret", path="a", value=CANARY, expectedVersion=0)
        assert info["version"] == 1
        error = await store.refused(
            "conflict", "writeSecret", path="a", value="b", expectedVersion=0
        )
        assert error["currentVersion"] == 1


async def test_a_handle_is_written_whether_the_hub_resolved_it_or_not(small: Store) -> None:
    tool = "security.secrets.writeSecret"
    await small.write(tools=[tool])
    handle = (await small.lease(tool=tool, uses=2))["handle"]
    # As it arrives: the hub has resolved the handle and put the value in its place.
    value = (await small.resolve(handle, tool))["value"]
    assert (await small("writeSecret", path="copy/one", value=value))["version"] == 1
    # Somebody else does not get it by the same words, nor does the same caller later on.
    mallory = small.as_principal("mallory")
    await mallory.refused("not_allowed", "writeSecret", path="copy/two", value=value)
    small.watch.pass_s(121)
    await small.refused("not_allowed", "writeSecret", path="copy/two", value=value)
    assert (await small("writeSecret", path="copy/two", value=handle))["version"] == 1
    await small.refused("not_allowed", "writeSecret", path="copy/three", value=handle)
    await small.refused("not_allowed", "writeSecret", path="x", value="secret://" + "0" * 32)


async def test_a_value_may_not_stand_in_what_everybody_reads(small: Store) -> None:
    for beside in (
        {"description": f"it is {CANARY}"},
        {"description": base64.b64encode(CANARY.encode()).decode()},
        {"tags": [CANARY]},
        {"path": CANARY},
    ):
        error = await small.no("write", **{"path": "a", "value": CANARY, **beside})
        assert isinstance(error, InvalidArgument)
        assert CANARY not in str(error)


async def test_rules_wait_for_no_secret_that_is_not_there(small: Store) -> None:
    await small.write(services=["x"], tools=[USER])
    await small("deleteSecret", path="db/password")
    error = await small.no("allow", path="db/password", allow={"tools": [USER]})
    assert error.code == "not_found"
    made = await small("generateSecret", path="db/password")
    assert made["usableBy"] == {"tools": [], "principals": [], "roles": [], "services": []}
    assert made["version"] == 2


async def test_values_of_any_text_up_to_a_bound_come_back_as_they_are(small: Store) -> None:
    for number, value in enumerate(
        ("x", "\0\x01\x7f", "a\r\nb\n", "ключ \U0001f511\u202e", "\ufeff", "x" * 65_536)
    ):
        await small.write(f"v/{number}", value)
        handle = (await small.lease(f"v/{number}"))["handle"]
        assert (await small.resolve(handle))["value"] == value
    error = await small.no("write", path="big", value="ю" * 32_769)
    assert error.code == "too_large"


def test_paths_that_lead_elsewhere_are_refused() -> None:
    for path in ("a", "db/prod/pw", "A_b.c-d/0", "x" * 200):
        check_path(path)
    wrong = (
        *("", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/../b", ".a", "a/.b", "-a"),
        *("a b", "a\n", "a\0", "a%2fb", "a\\b", "ключ", "а", "a\u0301", "～", "x" * 201),
    )
    for path in wrong:
        with pytest.raises(InvalidArgument) as caught:
            check_path(path)
        assert len(path) < 5 or path not in str(caught.value)


async def test_generated_values_are_what_was_asked_and_never_twice_the_same() -> None:
    assert len(generated(Recipe()).value) == 32
    assert set(generated(Recipe(length=200, alphabet="abc")).value) == set("abc")
    assert len(bytes.fromhex(generated(Recipe(kind="hex", length=16)).value)) == 16
    assert len(base64.b64decode(generated(Recipe(kind="base64")).value)) == 32
    assert len(generated(Recipe(kind="uuid")).value) == 36
    pair = generated(Recipe(kind="ed25519"))
    assert pair.value.startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    assert pair.public_key is not None and pair.public_key.startswith("ssh-ed25519 ")
    assert len({generated(Recipe()).value for _ in range(50)}) == 50
    for recipe in (
        Recipe(length=4),
        Recipe(length=32, alphabet="aa"),
        Recipe(kind="hex", length=4),
        Recipe(kind="uuid", alphabet="abc"),
        Recipe(kind="rsa", length=512),
    ):
        with pytest.raises(InvalidArgument):
            generated(recipe)


async def test_rotation_makes_what_was_made_before(small: Store) -> None:
    made = await small("generateSecret", path="a", kind="hex", length=16)
    assert "publicKey" not in made and made["generated"] == "hex"
    await small.refused("conflict", "generateSecret", path="a")
    assert (await small("rotateSecret", path="a"))["version"] == 2
    await small.refused("conflict", "rotateSecret", path="a", expectedVersion=1)
    await small.write("written")
    error = await small.refused("invalid_argument", "rotateSecret", path="written")
    assert "kind" in error["hint"]
    rotated = await small("rotateSecret", path="written", kind="uuid")
    assert rotated["usableBy"]["tools"] == [USER]
    await small.refused("not_found", "rotateSecret", path="none")


def forms(value: str) -> list[str]:
    return [
        value,
        value[::-1],
        value.encode().hex(),
        *(base64.b64encode(b"\0" * n + value.encode())[4:-4].decode() for n in range(3)),
    ]


async def test_no_tool_error_or_log_says_a_secret(
    embedded: Settings, opened: Opened, tmp_path: Path, heard: StringIO
) -> None:
    settings = embedded.model_copy(update={"programs": (Path("/usr/bin/true"),)})
    tools = ["security.secrets.writeSecret", "security.secrets.runWithSecret", USER]
    said: list[str] = []
    async with opened(settings, tmp_path) as store:
        said.append(json.dumps(await store.write(tools=tools, services=["x"])))
        leases = [await store.lease(tool=tool, uses=5) for tool in tools]
        await store.resolve(leases[2]["handle"])
        await store.ask("credentials", service="x", names=["db/password"])
        for tool in TOOLS:
            for arguments in every_way(tool, leases):
                said.append(json.dumps(await store.raw(tool, **arguments)))
        for operation in ("list", "show", "versions", "leases", "rewrap", "verify"):
            body = {"path": "db/password"} if operation in ("show", "versions") else {}
            said.append(json.dumps(await store.ask(operation, **body)))
        said.append(repr(store.spoke))
    everything = "\n".join((*said, heard.getvalue()))
    assert everything.count('"isError": true') >= 12
    for form in forms(CANARY):
        assert form not in everything
    for lease in leases:
        assert lease["handle"] not in heard.getvalue()


def every_way(tool: str, leases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Calls of a tool that work, that are refused, and that have the value where it is wrong."""
    path, handle = "db/password", leases[0]["handle"]
    return {
        "listSecrets": [{}, {"prefix": CANARY}, {"cursor": CANARY}],
        "getMetadata": [{"path": path}, {"path": CANARY + " "}],
        "exists": [{"path": path}, {"path": f"/{CANARY}"}],
        "queryAudit": [{}, {"principal": "p", "since": CANARY}],
        "scanText": [{"text": CANARY}, {"text": f"password={CANARY}"}],
        "generateSecret": [{"path": "made"}, {"path": path}, {"path": "x", "length": CANARY}],
        "leaseSecret": [{"path": path, "tool": USER}, {"path": path, "tool": "no.such.tool"}],
        "runWithSecret": [
            {"argv": ["true", CANARY], "env": {"A": path}},
            {"argv": [CANARY, "x"], "env": {"LD_PRELOAD": path}},
            {"argv": ["/usr/bin/true"], "env": {CANARY + "=": path}},
        ],
        "writeSecret": [
            {"path": "copy", "value": handle},
            {"path": "copy", "value": CANARY},
            {"path": "copy", "value": {"no": CANARY}},
            {"path": "copy", "value": handle, "description": CANARY},
        ],
        "rotateSecret": [{"path": path}, {"path": "made"}],
        "revokeLease": [{"lease": leases[1]["leaseId"]}, {"lease": "lease_none"}],
        "deleteSecret": [{"path": "made"}, {"path": path, "expectedVersion": 99}],
    }[tool]


async def test_what_is_revealed_was_allowed_and_is_written_down(
    embedded: Settings, opened: Opened, tmp_path: Path
) -> None:
    settings = embedded.model_copy(update={"reveal": "on"})
    async with opened(settings, tmp_path) as store:
        await store.write()
        await store.refused("not_allowed", "revealSecret", path="db/password")
        await store.ask(
            "allow", path="db/password", allow={"tools": ["security.secrets.revealSecret"]}
        )
        shown = await store("revealSecret", path="db/password")
        assert shown == {"path": "db/password", "version": 1, "value": CANARY}
        outcomes = [each["outcome"] for each in await store.trail(act="revealed")]
        assert outcomes == ["done", "refused"]


TEXTS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["db/password", "../../etc", USER, "secret://" + "a" * 32, "x" * 300, "\u202e"]
    ),
)
VALUES = st.one_of(
    *(TEXTS, st.integers(-5, 2**40), st.booleans(), st.none(), st.lists(TEXTS, max_size=3)),
    st.dictionaries(TEXTS, TEXTS, max_size=2),
)


def arguments_of(tool: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Arguments by the names that the tool has, and by one that it has not."""
    names = [name for name in tool.run.__annotations__ if name not in ("context", "return")]
    return st.dictionaries(st.sampled_from([*map(to_camel, names), "more"]), VALUES, max_size=4)


def drawn(strategy: st.SearchStrategy[dict[str, Any]]) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    @examples_of(
        max_examples=25,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(arguments=strategy)
    def draw(arguments: dict[str, Any]) -> None:
        sent.append(arguments)

    draw()
    return sent


async def test_no_argument_breaks_a_tool(small: Store) -> None:
    await small.write()
    for tool in small.spoke.tools:
        for arguments in drawn(arguments_of(tool)):
            result = await small.raw(tool.name.rpartition(".")[2], **arguments)
            assert error_code_of(result) != "internal", (tool.name, arguments, result)
