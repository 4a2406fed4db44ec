"""The Google Cloud spoke."""

from flotilla import CommonSettings, Spoke, __version__
from google_cloud.settings import Settings

INSTRUCTIONS = """\
Look at and operate Google Cloud.
"""


def build(settings: Settings, common: CommonSettings | None = None) -> Spoke:
    """The spoke as `settings` have it; `common` is read from the environment unless given."""
    del settings, common
    return Spoke(
        name="google_cloud",
        version=__version__,
        instructions=INSTRUCTIONS,
        namespaces=("cloud.gcp",),
        tools=(),
        not_configured="set up a account in google_cloud.yaml",
    )
