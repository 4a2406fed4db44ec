"""Parameters that most tools take."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from flotilla.errors import InvalidArgument

_SELECTOR = re.compile(r"[A-Za-z0-9._/\-=!,() ]*")
_FIELDS = re.compile(r"[A-Za-z0-9._/\-=!,:\[\]]*")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._:-]{0,251}[A-Za-z0-9])?")
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def _matching(pattern: re.Pattern[str], told: str) -> AfterValidator:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(told)
        return value

    return AfterValidator(check)


def scope_of(
    namespace: str | None,
    all_namespaces: bool,
    default: str,
) -> str | None:
    """The one namespace that a call means, None for all.

    Raises InvalidArgument for one and all: a rule that lets somebody see one namespace would have
    judged that one.
    """
    if all_namespaces and namespace is not None:
        raise InvalidArgument("give namespace or allNamespaces, not both")
    return None if all_namespaces else namespace or default


ClusterName = Annotated[
    str | None,
    Field(
        max_length=253,
        description="A cluster of infra.k8s.listContexts; may be left out where there is one.",
    ),
]
ObjectName = Annotated[
    str, Field(max_length=253), _matching(_NAME, "the name of an object, say `web-5d4f8c7b9-x2x7k`")
]
NamespaceName = Annotated[
    str, Field(max_length=63), _matching(_NAMESPACE, "the name of a namespace, say `kube-system`")
]
Namespace = Annotated[
    NamespaceName | None, Field(description="By default the one that the cluster's context names.")
]
AllNamespaces = Annotated[bool, Field(description="Look in all namespaces instead of one.")]
LabelSelector = Annotated[
    Annotated[str, _matching(_SELECTOR, "a label selector, say `app=web,tier in (a, b)`")] | None,
    Field(max_length=2048, description="Like `app=web,tier!=cache` or `env in (a, b)`."),
]
FieldSelector = Annotated[
    Annotated[str, _matching(_FIELDS, "a field selector, say `status.phase=Running`")] | None,
    Field(max_length=2048, description="Like `status.phase=Running,spec.nodeName=node-1`."),
]
KindName = Annotated[
    str,
    Field(
        max_length=300,
        description="`pods`, `Deployment`, `deploy`, `certificates.cert-manager.io` or "
        "`deployments.apps/v1`; infra.k8s.listApiResources names all.",
    ),
]
