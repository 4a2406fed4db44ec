"""From a typed method to a listed tool and its answers, without any server."""

from typing import Annotated, Any

import anyio
import jsonschema
import pytest
from pydantic import Field

from flotilla import (
    Context,
    Deadline,
    Limit,
    Model,
    NotFound,
    Page,
    Principal,
    Tool,
    destroys,
    meta,
    page_of,
    reads,
    writes,
)
from flotilla.attachments import MAX_ATTACHED_BYTES, Attachment, WithAttachments
from flotilla.redaction import REDACTED, Redactor
from flotilla.schema import BadTool
from flotilla.sizes import MAX_RESULT_BYTES
from flotilla.toolbox import Toolbox, error_code_of

pytestmark = pytest.mark.anyio


class Found(Model):
    file_name: str
    size_bytes: int
    note: str | None = None
    more: dict[str, Any] = Field(default_factory=dict)


class Files:
    async def find(
        self,
        pattern: Annotated[str, Field(min_length=1, description="What to look for.")],
        limit: Limit = 50,
        in_folder: str | None = None,
        *,
        context: Context,
    ) -> Page[Found]:
        """Find files.

        Returns their sizes.
        """
        if pattern == "nothing":
            raise NotFound("no such file", hint="Look elsewhere.")
        if pattern == "bug":
            raise ZeroDivisionError("secret internals")
        if pattern == "slow":
            await anyio.sleep_forever()
        size = MAX_RESULT_BYTES if pattern == "big" else 1
        name = f"{pattern}{in_folder or ''}{context.principal.name}" * size
        return page_of(
            "files", [Found(file_name=name, size_bytes=7, more={"k": None})], limit=limit
        )


def toolbox(*tools: Tool, secrets: tuple[str, ...] = ()) -> Toolbox:
    find = Files().find
    return Toolbox(tools or (reads("os.files.find", find),), Redactor(secrets))


def context(**more: Any) -> Context:
    given = {"principal": Principal("ann"), "correlation_id": "c-1", "deadline": Deadline.after(5)}
    return Context(**{**given, **more})


def test_a_method_becomes_a_tool_with_real_schemas() -> None:
    (listed,) = toolbox().listing()
    assert listed["description"] == "Find files.\n\nReturns their sizes."
    assert listed["inputSchema"] == {
        "type": "object",
        "additionalProperties": False,
        "required": ["pattern"],
        "properties": {
            "pattern": {"type": "string", "minLength": 1, "description": "What to look for."},
            "limit": {
                "type": "integer",
                "minimum": 1,
                "maximum": 500,
                "default": 50,
                "description": "How many items to return at most.",
            },
            "inFolder": {"type": "string"},
        },
    }
    assert listed["annotations"] == {
        "readOnlyHint": True,
        "destructiveHint": False,
        "idempotentHint": True,
        "openWorldHint": False,
    }
    jsonschema.Draft202012Validator.check_schema(listed["inputSchema"])
    jsonschema.Draft202012Validator.check_schema(listed["outputSchema"])


async def test_what_it_returns_fits_its_output_schema_and_keeps_null_inside_data() -> None:
    box = toolbox()
    result = await box.call("os_files_find", {"pattern": "a", "inFolder": "b"}, context())
    assert error_code_of(result) is None
    assert result["structuredContent"]["items"] == [
        {"fileName": "abann", "sizeBytes": 7, "more": {"k": None}}
    ]
    jsonschema.validate(result["structuredContent"], box.listing()[0]["outputSchema"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "pattern"),
        ({"pattern": ""}, "pattern"),
        ({"pattern": 5}, "pattern"),
        ({"pattern": "a", "limit": 0}, "limit"),
        ({"pattern": "a", "limit": 10**400}, "limit"),
        ({"pattern": "a", "in_folder": "b"}, "in_folder"),
        ({"pattern": "a", "context": {}}, "context"),
        ({"pattern": "a\0b"}, "NUL"),
        ({"pattern": "\ud800"}, "surrogate"),
    ],
)
async def test_wrong_arguments_are_named_and_never_shown(arguments, told) -> None:
    result = await toolbox().call("os.files.find", arguments, context())
    assert error_code_of(result) == "invalid_argument"
    assert told in result["_meta"][meta.ERROR]["message"]


async def test_each_failure_is_a_tool_error_with_its_code() -> None:
    box = toolbox()
    for pattern, code in (("nothing", "not_found"), ("bug", "internal"), ("big", "too_large")):
        result = await box.call("os.files.find", {"pattern": pattern}, context())
        assert error_code_of(result) == code
        assert "structuredContent" not in result
        assert "internals" not in str(result)
        assert result["_meta"][meta.ERROR]["correlationId"] == "c-1"
    assert error_code_of(await box.call("os.files.lose", {}, context())) == "not_found"


async def test_the_deadline_ends_the_work() -> None:
    with anyio.fail_after(2):
        soon = context(deadline=Deadline.after(0.01))
        result = await toolbox().call("os.files.find", {"pattern": "slow"}, soon)
    assert error_code_of(result) == "timeout"


async def test_a_tool_that_needs_approval_runs_only_with_it() -> None:
    box = toolbox(destroys("os.files.wipe", Files().find))
    arguments = {"pattern": "a"}
    refused = await box.call("os.files.wipe", arguments, context())
    assert error_code_of(refused) == "approval_required"
    assert error_code_of(await box.call("os.files.wipe", arguments, context(approved=True))) is None


def test_a_tool_says_for_how_long_its_results_may_be_kept() -> None:
    (listed,) = toolbox(reads("os.files.find", Files().find, ttl_s=2.5)).listing()
    assert listed["_meta"] == {meta.NAME: "os.files.find", meta.TTL_MS: 2500}
    (silent,) = toolbox().listing()
    assert meta.TTL_MS not in silent["_meta"]


@pytest.mark.parametrize("ttl_s", [0, -1, 0.0001, 86_401, float("nan"), float("inf")])
def test_results_are_kept_for_a_time_that_makes_sense(ttl_s) -> None:
    with pytest.raises(ValueError, match=r"os\.files\.find.*ttl_s"):
        reads("os.files.find", Files().find, ttl_s=ttl_s)


def test_results_of_a_tool_that_may_write_are_never_kept() -> None:
    with pytest.raises(ValueError, match="read-only"):
        Tool(name="os.files.find", run=Files().find, ttl_s=5)


async def test_secrets_and_invisible_text_do_not_leave() -> None:
    tool = reads("os.files.find", Files().find, untrusted=True)
    box = toolbox(tool, secrets=("canary-value",))
    result = await box.call("os.files.find", {"pattern": "canary-value\u200b!"}, context())
    assert result["structuredContent"]["items"][0]["fileName"] == f"{REDACTED}!ann"
    assert "canary" not in result["content"][0]["text"]
    assert result["_meta"] == {meta.UNTRUSTED: True}


def test_a_method_that_cannot_be_a_tool_stops_the_start() -> None:
    async def untyped(value) -> Found:  # pyright: ignore[reportMissingParameterType]
        """Untyped."""
        return Found(file_name=str(value), size_bytes=0)

    async def unreal() -> dict[str, Any]:
        """No real output schema."""
        return {}

    async def unsaid() -> Found:
        return Found(file_name="", size_bytes=0)

    for method in (untyped, unreal, unsaid):
        with pytest.raises(BadTool):
            toolbox(writes("os.files.bad", method))


class Picture(WithAttachments):
    width: int


async def test_files_of_a_result_stand_beside_its_json_as_content_blocks() -> None:
    async def look(size: int) -> Picture:
        """Look at it."""
        picture = Picture(width=3)
        picture.attach(Attachment("a.png", "image/png", b"p" * size))
        picture.attach(Attachment("a.pdf", "application/pdf", b"%PDF"))
        return picture

    box = Toolbox([reads("os.files.look", look)], Redactor())
    result = await box.call("os.files.look", {"size": 3}, context())
    text, image, document = result["content"]
    assert (text["text"], result["structuredContent"]) == ('{"width":3}', {"width": 3})
    assert image == {"type": "image", "data": "cHBw", "mimeType": "image/png"}
    assert document["resource"] == {
        "uri": "file:///a.pdf",
        "mimeType": "application/pdf",
        "blob": "JVBERg==",
    }
    result = await box.call("os.files.look", {"size": MAX_ATTACHED_BYTES}, context())
    assert error_code_of(result) == "too_large"
