"""A hub process that asks, decides, begins and ends approvals until it is killed.

It prints each step once it was told that the step is done: `<approval> <step>`.
"""

import asyncio
import json
import sys
from pathlib import Path
from time import monotonic

from flotilla import Principal
from flotilla.database.place import sqlite_place
from flotilla.redaction import Redactor
from master.approvals.sealing import open_sealing
from master.approvals.service import ApprovalService
from master.approvals.settings import ApprovalSettings
from master.approvals.store import Store
from master.approvals.unheard import Unheard
from master.audit.seam import Unwritten
from master.call import Call
from master.database.opened import SCHEMA, open_database
from master.entry import Entry, View
from master.policy.seam import Verdict
from master.result import of_json

ASKER = Principal("operator", ("operator",))


def call_of(number: int) -> Call:
    entry = Entry("os.linux.writeFile", "linux_cli", {"name": "os.linux.writeFile"})
    text = json.dumps({"number": number})
    return Call(
        principal=ASKER,
        name=entry.name,
        params={"name": json.dumps(entry.name), "arguments": text},
        arguments=json.loads(text),
        meta={},
        correlation_id="one",
        traceparent=None,
        view=View(),
        capabilities={},
        arrived=monotonic(),
        hearer=Unheard(),
        target=entry,
        verdict=Verdict(allowed=True),
    )


def tell(approval: str, step: str) -> None:
    sys.stdout.write(f"{approval} {step}\n")
    sys.stdout.flush()


async def lives(service: ApprovalService, first: int) -> None:
    number = first
    while True:
        held = await service.ask(call_of(number), "shown", four_eyes=False)
        tell(held.id, "asked")
        answer = "deny" if number % 5 == 0 else "approve"
        decided = await service.answer(
            held.id, by=ASKER, answer=answer, way="elicitation", interactive=True
        )
        tell(held.id, decided.state)
        if answer == "approve":
            await service.begin(held.id, held.digest)
            tell(held.id, "begun")
            await service.finish(held.id, of_json({"content": [], "isError": False}))
            tell(held.id, "ended")
        number += 1


async def main(folder: Path) -> None:
    database = open_database(sqlite_place(str(folder / "hub.sqlite3"), SCHEMA, "KEY"))
    service = ApprovalService(
        Store(database, "dying"),
        open_sealing(folder),
        ApprovalSettings(max_pending=10_000, max_pending_each=10_000, max_asked_per_minute=10_000),
        Unwritten(),
        Redactor(),
        hub="dying",
    )
    async with database.opened(), asyncio.TaskGroup() as tasks:
        for first in range(4):
            tasks.create_task(lives(service, first * 1_000_000))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
