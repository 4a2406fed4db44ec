"""The Kubernetes spoke."""

from flotilla import CommonSettings, Spoke, __version__
from k8s.settings import Settings

INSTRUCTIONS = """\
Look at and operate Kubernetes.
"""


def build(settings: Settings, common: CommonSettings | None = None) -> Spoke:
    """The spoke as `settings` have it; `common` is read from the environment unless given."""
    del settings, common
    return Spoke(
        name="k8s",
        version=__version__,
        instructions=INSTRUCTIONS,
        namespaces=("infra.k8s",),
        tools=(),
        not_configured="set up a cluster in k8s.yaml",
    )
