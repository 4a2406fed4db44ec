"""The Azure spoke."""

from azure_cloud.settings import Settings
from flotilla import CommonSettings, Spoke, __version__

INSTRUCTIONS = """\
Look at and operate Azure.
"""


def build(settings: Settings, common: CommonSettings | None = None) -> Spoke:
    """The spoke as `settings` have it; `common` is read from the environment unless given."""
    del settings, common
    return Spoke(
        name="azure",
        version=__version__,
        instructions=INSTRUCTIONS,
        namespaces=("cloud.azure",),
        tools=(),
        not_configured="set up a account in azure.yaml",
    )
