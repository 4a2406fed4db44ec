"""A process with a session open, for a test that kills it: prints its own ID, then waits."""

import asyncio
import os
import sys
from pathlib import Path

from web_browsing.browser.contexts import Wants
from web_browsing.browser.sessions import Sessions
from web_browsing.gate.proxy import Proxy
from web_browsing.gate.rules import Rules
from web_browsing.settings import Settings


async def main(folder: Path) -> None:
    settings = Settings()
    sessions = Sessions(Proxy(Rules()), settings, folder)
    async with sessions.lifespan():
        session = await sessions.open("ada", Wants())
        # A page that is busy with itself hears of nothing.
        await session.page().evaluate("setTimeout(() => { while (true); }, 50)")
        running = sessions.engine.running
        assert running is not None
        print(os.getpid(), running.pid, flush=True)
        await asyncio.Event().wait()


asyncio.run(main(Path(sys.argv[1])))
