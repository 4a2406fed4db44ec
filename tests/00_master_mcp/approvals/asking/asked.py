"""Calls that a person is asked about, and how such a call is told."""

import json
from typing import Any

from flotilla import Context, Model, destroys
from flotilla.redaction import Redactor
from flotilla.secret_text import SecretText
from flotilla.toolbox import Toolbox
from master.call import Call
from master.entry import Entry, Origin

from ...cache.calls import call


class Done(Model):
    ok: bool


async def wipe(
    disk: str,
    host: str = "local",
    password: SecretText | None = None,
    options: dict[str, str] | None = None,
    *,
    context: Context,
) -> Done:
    """Wipe a disk.

    All that is on it is gone.
    """
    return Done(ok=True)


def wiping(origin: Origin = Origin(), **more: Any) -> Entry:  # noqa: B008  frozen
    """A tool that waits for a person."""
    tool = destroys("test.shop.wipe", wipe, title="Wipe a disk")
    (listed,) = Toolbox([tool], Redactor()).listing()
    marks = {**listed["_meta"], **more.pop("marks", {})}
    return Entry(
        "test.shop.wipe",
        "shop",
        {**listed, "_meta": marks, **more},
        given="test.shop.wipe",
        safe="test_shop_wipe",
        origin=origin,
    )


def wiping_call(entry: Entry | None = None, text: str | None = None, **arguments: Any) -> Call:
    """A call of it; `text` are the arguments as the client wrote them."""
    given = {"disk": "sda"} | arguments
    return call(entry or wiping(), json.dumps(given) if text is None else text)
