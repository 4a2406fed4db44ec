"""What this service's account may do in a cluster: canI."""

from typing import Annotated, Any

from pydantic import Field

from flotilla import Context, InvalidArgument, Model, Tool, reads
from k8s.clusters import Clusters
from k8s.objects import members, objects, text
from k8s.parameters import ClusterName, Namespace, scope_of

REVIEWS = "/apis/authorization.k8s.io/v1"
MAX_RULES = 200


class PermissionRule(Model):
    """What one rule allows; `*` is everything."""

    verbs: list[str]
    api_groups: list[str]
    resources: list[str]
    resource_names: list[str]


class Permission(Model):
    """Whether it may, or, where no verb was asked for, everything that it may in the namespace."""

    allowed: bool | None = None
    reason: str | None = None
    namespace: str | None = None
    rules: list[PermissionRule] | None = None
    incomplete: bool = False
    """The server could not say all of it, or there are more than 200 rules."""


class Permissions:
    """Asks the API server itself, which knows all that decides."""

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters

    def tools(self) -> tuple[Tool, ...]:
        return (reads("infra.k8s.canI", self.can_i, title="What may be done"),)

    async def can_i(
        self,
        context: Context,
        cluster: ClusterName = None,
        verb: Annotated[
            str | None,
            Field(max_length=40, pattern="^[a-z*]+$", description="`get`, `delete`, ..."),
        ] = None,
        kind: Annotated[
            str | None, Field(max_length=300, description="`pods`, `deployments.apps`, ...")
        ] = None,
        subresource: Annotated[
            str | None, Field(max_length=60, description="`log`, `exec`, `scale`, ...")
        ] = None,
        name: Annotated[str | None, Field(max_length=253)] = None,
        namespace: Namespace = None,
        all_namespaces: Annotated[bool, Field(description="Whether in every namespace.")] = False,
    ) -> Permission:
        """Say whether this service's account in the cluster may do something there.

        Without `verb` and `kind`, list all that it may in a namespace. Whether the hub's own policy
        lets you call a tool is another question.
        """
        client = await self._clusters.client(cluster)
        where = scope_of(namespace, all_namespaces, client.namespace) or ""
        if verb is None and kind is None:
            if all_namespaces:
                raise InvalidArgument("rules are listed for one namespace")
            body: dict[str, Any] = _review("SelfSubjectRulesReview", {"namespace": where})
            answer = await client.request(
                "POST", f"{REVIEWS}/selfsubjectrulesreviews", due=context.deadline, body=body
            )
            return _rules(where, members(answer, "status"))
        if verb is None or kind is None:
            raise InvalidArgument("give verb and kind, or neither")
        ref = await client.resource(kind, due=context.deadline)
        asked: dict[str, Any] = {
            "verb": verb,
            "group": ref.group,
            "version": ref.version,
            "resource": ref.plural,
            "namespace": where if ref.namespaced else "",
        }
        asked |= {"subresource": subresource} if subresource else {}
        asked |= {"name": name} if name else {}
        body = _review("SelfSubjectAccessReview", {"resourceAttributes": asked})
        answer = await client.request(
            "POST", f"{REVIEWS}/selfsubjectaccessreviews", due=context.deadline, body=body
        )
        status = members(answer, "status")
        told = text(status.get("reason")) or text(status.get("evaluationError"))
        return Permission(
            allowed=status.get("allowed") is True,
            reason=told or None,
            namespace=(where or None) if ref.namespaced else None,
        )


def _review(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}


def _rules(namespace: str, status: dict[str, Any]) -> Permission:
    found = objects(status.get("resourceRules"))
    rules = [
        PermissionRule(
            verbs=_texts(rule, "verbs"),
            api_groups=_texts(rule, "apiGroups"),
            resources=_texts(rule, "resources"),
            resource_names=_texts(rule, "resourceNames"),
        )
        for rule in found[:MAX_RULES]
    ]
    incomplete = status.get("incomplete") is True or len(found) > MAX_RULES
    return Permission(namespace=namespace, rules=rules, incomplete=incomplete)


def _texts(rule: dict[str, Any], key: str) -> list[str]:
    return [text(each) for each in rule.get(key) or ()]
