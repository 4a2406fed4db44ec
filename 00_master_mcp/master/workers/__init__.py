"""The hub in several processes: one parent that shares out its port, workers that answer."""

import os
import socket
from collections.abc import Callable
from contextlib import closing

from flotilla import CommonSettings, Misconfigured
from flotilla.fleet import HUB, FleetConfig
from flotilla.logs import bound, set_up_logs
from flotilla.redaction import Redactor
from flotilla.serving.run import Feed, exit_when_misconfigured, port_of
from master.settings import Settings
from master.workers.inlet import Inlet
from master.workers.parent import Parent
from master.workers.place import Place, places, private_sockets

Serve = Callable[[Place, Feed | None], None]
"""Serves the hub as this process, at this place, until a signal ends it."""


def in_workers(serve: Serve) -> int:
    """Call `serve` in this process, or in each of FLOTILLA_WORKERS; the exit code of the whole."""
    with exit_when_misconfigured():
        settings, common = Settings.from_env(), CommonSettings.from_env()
        _check(settings)
        opened = private_sockets(settings.workers, common.bind, settings.advertise)
        at = places(opened, common.bind, settings.advertise)
        if settings.workers == 1:
            serve(at[0], None)
            return 0
        set_up_logs(common.log_level, Redactor(common.secret_values()))
        port = FleetConfig.load(common.config_dir / "services.yaml").port(HUB)
        with closing(port_of(HUB, common.bind, port)) as public:

            def work(number: int, channel: socket.socket) -> None:
                for each in at:
                    if each.number != number and each.private is not None:
                        each.private.close()
                with bound(worker=number):
                    serve(at[number], Inlet(channel))

            return Parent(public, settings.workers, work, common.shutdown_grace_s).run()


def _check(settings: Settings) -> None:
    if settings.advertise is not None and settings.redis_url is None:
        raise Misconfigured(
            "FLOTILLA_ADVERTISE: hubs find each other in Redis; set FLOTILLA_REDIS_URL too"
        )
    if settings.workers == 1:
        return
    if settings.redis_url is None:
        raise Misconfigured(
            f"FLOTILLA_WORKERS: {settings.workers} processes share limits, circuits and results "
            "in Redis; set FLOTILLA_REDIS_URL too, or leave FLOTILLA_WORKERS at 1"
        )
    if not hasattr(os, "fork"):
        raise Misconfigured("FLOTILLA_WORKERS: this system has one process a hub; leave it at 1")
