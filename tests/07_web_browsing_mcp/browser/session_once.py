"""A process that opens one session, says how its browser lives, and ends."""

import asyncio
import sys
from pathlib import Path

from web_browsing.browser.contexts import Wants
from web_browsing.browser.sessions import Sessions
from web_browsing.gate.proxy import Proxy
from web_browsing.gate.rules import Rules
from web_browsing.settings import Settings


async def main(folder: Path) -> None:
    sessions = Sessions(Proxy(Rules()), Settings(), folder)
    async with sessions.lifespan():
        session = await sessions.open("ada", Wants())
        running = sessions.engine.running
        assert running is not None
        page = session.page()
        await page.set_content("<h1>Quay</h1>")
        await page.screenshot()
        print(f"apart={running.apart} read={await page.inner_text('h1')}", flush=True)


asyncio.run(main(Path(sys.argv[1])))
