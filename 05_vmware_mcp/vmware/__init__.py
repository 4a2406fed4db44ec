"""The VMware vSphere spoke."""

from flotilla import CommonSettings, Spoke, __version__
from vmware.settings import Settings

INSTRUCTIONS = """\
Look at and operate VMware vSphere.
"""


def build(settings: Settings, common: CommonSettings | None = None) -> Spoke:
    """The spoke as `settings` have it; `common` is read from the environment unless given."""
    del settings, common
    return Spoke(
        name="vmware",
        version=__version__,
        instructions=INSTRUCTIONS,
        namespaces=("infra.vmware",),
        tools=(),
        not_configured="set up a vcenter in vmware.yaml",
    )
