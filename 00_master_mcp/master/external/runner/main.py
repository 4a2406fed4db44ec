"""The runner as a process: wired by hand, until a signal stops it."""

import asyncio
import os
import signal
from pathlib import Path

import uvloop

from flotilla import CommonSettings
from flotilla.identity import Verifier
from flotilla.logs import set_up_logs
from flotilla.redaction import Redactor
from flotilla.serving.run import exit_when_misconfigured
from flotilla.settings import Misconfigured
from master.external.den import Den
from master.external.here import Here
from master.external.runner.messages import AUDIENCE
from master.external.runner.service import Runner
from master.external.runner.settings import Settings


def build(settings: Settings, common: CommonSettings) -> Runner:
    """The runner whose programs have their homes in the data folder; Misconfigured without one."""
    folder = common.data_dir / "external"
    try:
        folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    except OSError as error:
        raise Misconfigured(f"FLOTILLA_DATA_DIR: cannot make {folder}: {error.strerror}") from None
    den = Den(
        folder,
        hidden=(common.data_dir, common.config_dir, Path("secrets")),
        closed=(common.data_dir,),
        env=os.environ,
        secrets=common.secret_values(),
    )
    verifier = Verifier(common.hub_public_key_path, AUDIENCE)
    return Runner(Here(den.launcher), verifier, settings.max_programs)


def main() -> None:
    """Serve until SIGTERM or SIGINT; exit code 2 when misconfigured."""
    with exit_when_misconfigured():
        settings, common = Settings.from_env(), CommonSettings.from_env()
        set_up_logs(common.log_level, Redactor(common.secret_values()))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
            loop.run(_serve(build(settings, common), common.bind, settings.port))


async def _serve(runner: Runner, bind: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await runner.serve(bind, port, stop)
