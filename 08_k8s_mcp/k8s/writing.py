"""All that changes clusters: the tools, and what an approval shows of them."""

from flotilla import Tool
from flotilla.operations import Operation
from k8s.apply import Manifests
from k8s.clusters import Clusters
from k8s.deletion import Deletion
from k8s.diffing import Fingerprints
from k8s.drain import Drain
from k8s.exec import Exec
from k8s.losses import Losses
from k8s.patching import Patches
from k8s.previews import Previews
from k8s.rollback import Rollbacks
from k8s.scaling import Scaling


class Writing:
    """The writing half of the spoke; `privileged_allowed` is the operator's outer bound."""

    def __init__(self, clusters: Clusters, *, privileged_allowed: bool) -> None:
        fingerprints = Fingerprints()
        self._manifests = Manifests(clusters, fingerprints, privileged_allowed=privileged_allowed)
        self._patches = Patches(clusters, privileged_allowed=privileged_allowed)
        self._scaling = Scaling(clusters)
        self._rollbacks = Rollbacks(clusters, privileged_allowed=privileged_allowed)
        self._programs = Exec(clusters)
        self._deletion = Deletion(clusters)
        self._drain = Drain(clusters)
        self._previews = Previews(
            manifests=self._manifests,
            patches=self._patches,
            scaling=self._scaling,
            rollbacks=self._rollbacks,
            programs=self._programs,
            fingerprints=fingerprints,
        )
        self._losses = Losses(clusters)

    def tools(self) -> tuple[Tool, ...]:
        return (
            *self._manifests.tools(),
            *self._patches.tools(),
            *self._scaling.tools(),
            *self._rollbacks.tools(),
            *self._programs.tools(),
            *self._deletion.tools(),
            *self._drain.tools(),
        )

    def operations(self) -> tuple[Operation, ...]:
        return (*self._previews.operations(), *self._losses.operations())
