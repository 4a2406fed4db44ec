"""All that only looks."""

from flotilla import Tool
from k8s.clusters import Clusters
from k8s.contexts import Contexts
from k8s.events import Events
from k8s.inventory import Inventory
from k8s.logs import Logs
from k8s.permissions import Permissions
from k8s.pods import Pods
from k8s.resources import Resources
from k8s.rollouts import Rollouts
from k8s.usage import Usage


def reading_tools(clusters: Clusters) -> tuple[Tool, ...]:
    """The tools that change nothing, in the order in which a reader meets them."""
    return (
        *Contexts(clusters).tools(),
        *Inventory(clusters).tools(),
        *Pods(clusters).tools(),
        *Logs(clusters).tools(),
        *Events(clusters).tools(),
        *Rollouts(clusters).tools(),
        *Resources(clusters).tools(),
        *Permissions(clusters).tools(),
        *Usage(clusters).tools(),
    )
