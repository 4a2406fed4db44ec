"""What is refused before anybody is asked: what its tool would refuse, handles out of place."""

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from flotilla import CommonSettings, InvalidArgument, Spoke
from flotilla.fleet import HUB, FleetConfig
from flotilla.host import open_package
from flotilla.launch.plan import folder_of
from flotilla.redaction import Redactor
from flotilla.schema import Arguments
from flotilla.toolbox import Toolbox
from master.approvals.asking.fitting import Fit, Fits, check_of, fit
from master.entry import Entry, Origin
from master.policy.seam import Verdict
from master.result import Result
from master.stages.validate import validated

from ...cache.calls import Server, call, entry
from .asked import wiping, wiping_call

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parents[4]
FLEET = FleetConfig.load(ROOT / "config" / "services.yaml", env={})
OUTSIDE = Origin(external=True)
HANDLE = "secret://0123456789abcdef"


async def refusal(given: Any, *, approvals_off: bool = False) -> str | None:
    """What the stage says against a call; None where it goes on."""
    server = Server(lambda _: Result({}))
    try:
        await validated(server, Fits(), approvals_off=approvals_off)(given)
    except InvalidArgument as error:
        assert not server.asked
        return error.message
    assert len(server.asked) == 1
    return None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, None),
        ({"disk": 5}, "disk: must be string, not integer"),
        ({"disk": None}, "missing 'disk'"),
        ({"host": ["topsecret"]}, "host: must be string, not array"),
        ({"options": {"a": 1}}, "options.a: must be string, not integer"),
        ({"passwort": "topsecret"}, "has a member that is not known here: 'passwort'"),
        ({"password": ""}, "password: breaks `minLength: 1`"),
    ],
)
async def test_mistakes_are_told_by_place_and_never_by_value(
    arguments: dict[str, Any], told: str | None
) -> None:
    text = json.dumps({"disk": "sda"} | arguments)
    if arguments.get("disk", "") is None:
        text = "{}"
    found = await refusal(wiping_call(text=text))
    assert found == told
    assert "topsecret" not in (found or "")


async def test_what_waits_for_nobody_is_left_to_its_service() -> None:
    assert await refusal(wiping_call(disk=5), approvals_off=True) is None
    unasked = wiping_call(disk=5)
    unasked.verdict = Verdict(allowed=True, consent="never")
    assert await refusal(unasked) is None
    reading = entry()
    assert await refusal(call(reading, '{"nothing":"fits"}')) is None
    asked = call(wiping(marks={"io.flotilla/approval": "none"}), '{"disk":5}')
    assert await refusal(asked) is None
    for consent in ("always", "four_eyes"):
        asked.verdict = Verdict(allowed=True, consent=consent)
        assert await refusal(asked) == "disk: must be string, not integer"


async def test_a_handle_goes_alone_into_an_argument_that_is_a_secret() -> None:
    assert await refusal(wiping_call(password=HANDLE)) is None
    for arguments in (
        {"disk": HANDLE},
        {"disk": f"echo {HANDLE}"},
        {"password": f"x{HANDLE}"},
        {"options": {"a": HANDLE}},
        {"options": {HANDLE: "a"}},
    ):
        for text in (
            json.dumps({"disk": "sda"} | arguments),
            json.dumps({"disk": "sda"} | arguments).replace("secret://", "secret:\\/\\/"),
            json.dumps({"disk": "sda"} | arguments).replace("secret", "\\u0073ecret"),
        ):
            for approvals_off in (True, False):
                told = await refusal(wiping_call(text=text), approvals_off=approvals_off)
                assert told is not None and "the handle of a secret stands where" in told


async def test_a_reading_tool_and_a_stranger_take_no_handle() -> None:
    assert await refusal(call(entry(), json.dumps({"path": HANDLE})))
    assert await refusal(wiping_call(wiping(OUTSIDE), password=HANDLE))
    assert await refusal(call(entry(), json.dumps({"path": "a\nb"}))) is None


def stranger(schema: Any) -> Entry:
    return wiping(OUTSIDE, inputSchema=schema, annotations={"destructiveHint": True})


async def test_a_strangers_schema_is_taken_at_its_word() -> None:
    for draft in ("http://json-schema.org/draft-07/schema#", None):
        schema = {
            **({} if draft is None else {"$schema": draft}),
            "properties": {"n": {"$ref": "#/definitions/n"}},
            "definitions": {"n": {"type": "integer", "minimum": 3}},
        }
        assert await refusal(wiping_call(stranger(schema), text='{"n":3}')) is None
        assert await refusal(wiping_call(stranger(schema), text='{"n":2}'))
        assert await refusal(wiping_call(stranger(schema), text='{"n":"3"}'))


@pytest.mark.parametrize(
    "schema",
    [
        None,
        [],
        {"type": "any"},
        {"type": 5},
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "#/nowhere"},
        {"properties": {"disk": {"pattern": "("}}, "minLength": "x"},
        {"description": "x" * 600_000},
    ],
)
async def test_a_broken_schema_of_a_stranger_is_followed_nowhere_and_told(schema: Any) -> None:
    fits, given = Fits(), wiping_call(stranger(schema))
    assert await fits.of(given.resolved(), given.arguments, 20) == Fit(broken=True)
    assert await refusal(given) is None


async def test_a_pattern_of_a_stranger_costs_nothing() -> None:
    schema = {"properties": {"disk": {"type": "string", "pattern": "^(a+)+$"}}}
    assert await refusal(wiping_call(stranger(schema), disk="a" * 40_000 + "!")) is None


async def test_a_tool_that_is_listed_anew_is_checked_anew() -> None:
    fits = Fits()
    for kind, mistakes in (("string", 0), ("integer", 1), ("string", 0)):
        listed = stranger({"properties": {"disk": {"type": kind}}})
        found = await fits.of(listed, {"disk": "sda"}, 20)
        assert len(found.mistakes) == mistakes


def tools() -> dict[str, tuple[Entry, Arguments]]:
    """Every tool of every spoke, and how the spoke itself reads its arguments."""
    found: dict[str, tuple[Entry, Arguments]] = {}
    for name in FLEET.services:
        if name == HUB:
            continue
        package, spoke_settings = open_package(ROOT / folder_of(name, FLEET))
        with tempfile.TemporaryDirectory() as folder:
            common = CommonSettings(data_dir=Path(folder))
            spoke: Spoke = package.build(spoke_settings.Settings.from_env({}), common)
        listing = Toolbox(spoke.tools, Redactor()).listing()
        for tool, listed in zip(spoke.tools, listing, strict=True):
            found[tool.name] = Entry(tool.name, name, listed, given=tool.name), Arguments(tool)
    return found


TOOLS = tools()
SOME = [
    # Only those that wait for a person are judged here, unless the rules ask for more.
    pytest.param(name, marks=() if listed.needs_approval else pytest.mark.real)
    for name, (listed, _) in sorted(TOOLS.items())
]


def texts(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "pattern" in schema:
        return st.from_regex(schema["pattern"], fullmatch=True)
    least = min(schema.get("minLength", 0), 20)
    return st.text(min_size=least, max_size=max(least, min(20, schema.get("maxLength", 20))))


def fitting(schema: Any, root: Any) -> st.SearchStrategy[Any]:
    """Values that a schema of ours has, or nearly."""
    if "$ref" in schema:
        return st.deferred(lambda: fitting(root["$defs"][schema["$ref"].split("/")[-1]], root))
    if "enum" in schema or "const" in schema:
        return st.sampled_from(schema.get("enum") or [schema["const"]])
    if "anyOf" in schema or "oneOf" in schema:
        choices = schema.get("anyOf") or schema["oneOf"]
        return st.one_of(*(fitting(part, root) for part in choices))
    kind = schema.get("type")
    if kind == "string":
        return texts(schema)
    if kind == "integer":
        return st.integers(schema.get("minimum"), schema.get("maximum"))
    if kind == "number":
        return st.floats(allow_nan=False, allow_infinity=False, width=32)
    if kind == "array":
        inner = fitting(schema.get("items", {}), root)
        least = min(schema.get("minItems", 0), 3)
        return st.lists(
            inner, min_size=least, max_size=max(least, min(3, schema.get("maxItems", 3)))
        )
    if kind == "object" and "properties" in schema:
        made = {name: fitting(part, root) for name, part in schema["properties"].items()}
        required = {name: made.pop(name) for name in schema.get("required", ())}
        return st.fixed_dictionaries(required, optional=made)
    if kind == "object":
        return st.dictionaries(st.text(max_size=5), ODD, max_size=2)
    return {"boolean": st.booleans(), "null": st.none()}.get(str(kind), ODD)


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 10**6),
    st.floats(allow_nan=False),
    st.sampled_from(["5", " 7 ", "1_0", "2.0", "x", "", "true", "off", "2026-01-01"]),
    st.lists(st.integers(0, 2), max_size=2),
    st.just({}),
)


def odd(arguments: dict[str, Any], draw: st.DataObject, names: list[str]) -> dict[str, Any]:
    """The arguments, of which some are what a careless client makes of them."""
    changed = draw.draw(st.lists(st.sampled_from([*names, "other"]), max_size=2))
    return {**arguments, **{name: draw.draw(ODD) for name in changed}}


@pytest.mark.parametrize("tool", SOME)
def test_what_a_spoke_takes_is_never_refused(tool: str) -> None:
    listed, arguments = TOOLS[tool]
    schema = arguments.schema
    check = check_of(listed)
    assert check is not None

    @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
    @given(fitting(schema, schema), st.data())
    def judged(proper: dict[str, Any], draw: st.DataObject) -> None:
        given_ones = odd(proper, draw, sorted(schema.get("properties", {})))
        # As it comes over the wire.
        try:
            sent = json.loads(json.dumps(given_ones))
        except ValueError:
            assume(False)
        try:
            arguments.read(sent)
        except InvalidArgument:
            taken = False
        else:
            taken = True
        found = fit(check, sent)
        assert not found.broken
        if taken:
            assert not found.mistakes, (sent, found)

    judged()


@pytest.mark.parametrize("tool", SOME)
def test_what_a_spoke_cannot_read_is_mostly_found_out_before(tool: str) -> None:
    listed, arguments = TOOLS[tool]
    check = check_of(listed)
    assert check is not None
    for sent in ({"noSuchParameter": 1}, {name: [[]] for name in arguments.schema["properties"]}):
        with contextlib.suppress(InvalidArgument):
            arguments.read(sent)
            continue
        assert fit(check, sent).mistakes, sent
