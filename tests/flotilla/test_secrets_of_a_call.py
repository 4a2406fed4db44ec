"""What a spoke is given in confidence is in no line of its log and in no answer of its own."""

import io
import json
import logging

import pytest
import structlog

from flotilla import Model, Spoke, writes
from flotilla.logs import set_up_logs
from flotilla.redaction import Redactor
from flotilla.secret_text import SecretText

pytestmark = pytest.mark.anyio
CANARY = "canary-Zx81-of-a-call"


class Told(Model):
    text: str


class Leaky:
    async def use(self, password: SecretText, note: str) -> Told:
        """Say all that it knows."""
        structlog.get_logger().info("using", password=password, note=note)
        if note == "break":
            raise RuntimeError(f"broke on {password}")
        return Told(text=f"{note}: {password}")


@pytest.fixture
def logged():
    root, stream = logging.getLogger(), io.StringIO()
    before = root.handlers, root.level
    set_up_logs("INFO", Redactor(), stream)
    yield stream
    structlog.reset_defaults()
    root.handlers, root.level = before


@pytest.mark.real
@pytest.mark.parametrize("note", ["fine", "break"])
async def test_a_secret_of_a_call_is_in_no_line_and_no_answer(start_fleet, logged, note) -> None:
    spoke = Spoke(
        name="leaky",
        version="1",
        instructions="Tells.",
        namespaces=("test.leaky",),
        tools=(writes("test.leaky.use", Leaky().use),),
    )
    async with start_fleet([spoke]) as fleet, fleet.client() as client:
        result = await client.call_tool("test.leaky.use", {"password": CANARY, "note": note})
    assert CANARY not in logged.getvalue()
    assert f'"password":"[redacted]","note":"{note}"' in logged.getvalue()
    assert ("broke on [redacted]" in logged.getvalue()) == (note == "break")
    assert CANARY not in json.dumps([str(result.content), result.structured_content])
    assert result.is_error == (note == "break")
