"""Where external servers live on this machine, and what is kept from them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from master.external.cgroup import find_cgroups
from master.external.launch import Launcher
from master.external.survey import survey


@dataclass(frozen=True)
class Den:
    """`hidden` and `closed` are as the Launcher has them: the fleet's data, settings and secrets.

    `secrets` are kept out of the servers' logs.
    """

    folder: Path
    hidden: tuple[Path, ...]
    closed: tuple[Path, ...]
    env: Mapping[str, str] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)

    def launcher(self) -> Launcher:
        """What starts programs there, once what a killed life of us left running has ended.

        It blocks.
        """
        cgroups = find_cgroups(self.folder)
        launcher = Launcher(
            self.folder,
            survey(cgroup=cgroups is not None),
            cgroups,
            self.hidden,
            self.closed,
            self.env,
            self.secrets,
        )
        launcher.settle()
        return launcher
