"""Settings of the k8s spoke."""

from pathlib import Path
from typing import Literal

from flotilla import ServiceSettings

Switch = Literal["on", "off"]


class Settings(ServiceSettings, env_prefix="K8S_"):
    """Where its clusters are said, and what of a kubeconfig may be trusted."""

    config: Path | None = None
    """By default k8s.yaml in the fleet's configuration folder."""
    kubeconfig: str | None = None
    """A kubeconfig, or several with `:` between them; by default KUBECONFIG or ~/.kube/config. Each
    of its contexts is a cluster that calls may name. `none` reads no kubeconfig."""
    exec_plugins: Switch = "off"
    """Whether a kubeconfig may have programs run for its tokens."""
    insecure_tls: Switch = "off"
    """Whether a server elsewhere may be reached by plain HTTP or with a certificate that is not
    verified."""
    allow_privileged: Switch = "off"
    """Whether calls may ask, by `allowPrivileged`, for privileged pods, hostPath, host namespaces
    and roles that give everything; the rules decide who. Off refuses them to everybody."""
