"""The runner as a service: its door, which only the hub passes, its health, and its end."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from flotilla import __version__
from flotilla.identity import BadToken, Verifier
from flotilla.outlast import outlast
from flotilla.settings import Misconfigured
from master.external.here import Here
from master.external.runner.connection import MAX_FRAME_BYTES
from master.external.runner.lodger import Lodger
from master.external.runner.messages import AUDIENCE, PATH

log = structlog.get_logger(__name__)

GOODBYE_S = 2.0
"""What the hub gets to close its side of a connection."""


class Runner:
    """Starts programs for whoever shows the hub's word; `verifier` reads that."""

    def __init__(self, here: Here, verifier: Verifier, max_programs: int) -> None:
        self._here = here
        self._verifier = verifier
        self._max_programs = max_programs
        self._names: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._lodging: set[asyncio.Task[None]] = set()
        self._closing = False

    async def serve(self, bind: str, port: int, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, and end every program; Misconfigured without the port."""
        serving = web.AppRunner(self._app(), access_log=None, handle_signals=False)
        await serving.setup()
        try:
            # First of all what a killed life of ours left running has to end.
            await self._here.launcher()
            try:
                await web.TCPSite(serving, bind, port, reuse_address=True).start()
            except OSError as error:
                raise Misconfigured(
                    f"the runner cannot listen on {bind}:{port}: {error.strerror}. "
                    "Set FLOTILLA_RUNNER_PORT to move it"
                ) from None
            log.info("runner_up", bind=bind, port=port)
            await stop.wait()
        finally:
            await outlast(self._close(serving))

    async def _close(self, serving: web.AppRunner) -> None:
        self._closing = True
        for lodging in self._lodging:
            lodging.cancel()
        if self._lodging:
            await asyncio.wait(self._lodging)
        await serving.cleanup()

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[_no_web_page])
        app.router.add_get("/health", self._health)
        app.router.add_get("/ready", self._ready)
        app.router.add_get(PATH, self._program)
        return app

    async def _health(self, _: web.Request) -> web.Response:
        told = {"status": "healthy", "service": AUDIENCE, "version": __version__}
        return web.json_response(told)

    async def _ready(self, _: web.Request) -> web.Response:
        reason = None
        if self._closing:
            reason = "stopping"
        elif not self._verifier.has_key():
            reason = "waiting for the hub's public key"
        if reason is None:
            return web.json_response({"status": "ready", "programs": len(self._lodging)})
        return web.json_response({"status": "not ready", "reason": reason}, status=503)

    async def _program(self, request: web.Request) -> web.StreamResponse:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        try:
            if scheme.lower() != "bearer":
                raise BadToken("no bearer token")
            self._verifier.verify(token)
        except BadToken as error:
            log.warning("runner_refused", peer=request.remote, reason=str(error))
            raise web.HTTPUnauthorized(headers={"www-authenticate": "Bearer"}) from None
        socket = web.WebSocketResponse(
            timeout=GOODBYE_S, max_msg_size=MAX_FRAME_BYTES, compress=False
        )
        if not socket.can_prepare(request):
            raise web.HTTPUpgradeRequired(headers={"upgrade": "websocket"})
        await socket.prepare(request)
        lodger = Lodger(socket, self._here.launcher, self._names)
        if self._closing or len(self._lodging) >= self._max_programs:
            await lodger.refuse(
                "the runner is stopping"
                if self._closing
                else f"the runner has its {self._max_programs} programs "
                "(FLOTILLA_RUNNER_MAX_PROGRAMS)"
            )
        else:
            # A task of ours: the server would end a handler in the middle of ending its program.
            self._lodging.add(lodging := asyncio.create_task(lodger.run()))
            lodging.add_done_callback(self._lodging.discard)
            await asyncio.wait({lodging})
            _tell_of_a_fault(lodging)
        await socket.close()
        return socket


def _tell_of_a_fault(lodging: asyncio.Task[None]) -> None:
    error = None if lodging.cancelled() else lodging.exception()
    if error is not None:
        # A fault of ours with one program must not end the others.
        log.error("runner_connection_broke", exc_info=error)


@web.middleware
async def _no_web_page(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """A browser is no hub: what comes from a web page is refused, whatever it asks for."""
    if "origin" in request.headers:
        raise web.HTTPForbidden
    return await handler(request)
