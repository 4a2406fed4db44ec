"""Who may do what in the emulator: bearer tokens with users, users with rules, as RBAC has them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Rule:
    """Of `resources` a part is named as `pods/log`; `namespaces` empty means all."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...] = ("*",)
    resources: tuple[str, ...] = ("*",)
    namespaces: tuple[str, ...] = ()

    def allows(self, verb: str, group: str, resource: str, namespace: str) -> bool:
        return (
            _in(verb, self.verbs)
            and _in(group, self.groups)
            and _in(resource, self.resources)
            and (not self.namespaces or namespace in self.namespaces)
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "verbs": list(self.verbs),
            "apiGroups": list(self.groups),
            "resources": list(self.resources),
        }


def _in(value: str, among: tuple[str, ...]) -> bool:
    return "*" in among or value in among


ADMIN = Rule(("*",))
REVIEWS = Rule(
    ("create",),
    ("authorization.k8s.io",),
    ("selfsubjectaccessreviews", "selfsubjectrulesreviews"),
)
READER = Rule(
    ("get", "list", "watch"),
    ("", "apps", "batch", "policy", "metrics.k8s.io", "stable.example.com"),
    (
        "pods", "pods/log", "nodes", "namespaces", "services", "configmaps", "events",
        "deployments", "replicasets", "statefulsets", "daemonsets", "jobs", "cronjobs",
        "poddisruptionbudgets", "crontabs",
    ),
)  # fmt: skip


@dataclass
class Users:
    """`tokens` maps a bearer token to a user, `rules` a user to what it may do."""

    tokens: dict[str, str] = field(
        default_factory=lambda: {"admin-token": "admin", "reader-token": "reader"}
    )
    rules: dict[str, Sequence[Rule]] = field(
        default_factory=lambda: {"admin": (ADMIN,), "reader": (READER, REVIEWS)}
    )

    def user(self, authorization: str | None) -> str | None:
        kind, _, token = (authorization or "").partition(" ")
        return self.tokens.get(token) if kind == "Bearer" else None

    def allows(self, user: str, verb: str, group: str, resource: str, namespace: str) -> bool:
        return any(
            rule.allows(verb, group, resource, namespace) for rule in self.rules.get(user, ())
        )
