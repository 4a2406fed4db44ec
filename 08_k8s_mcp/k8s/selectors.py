"""Label selectors: written as a query has them, and matched as the server matches them. Pure.

Source: Kubernetes documentation, "Labels and Selectors".
"""

from collections.abc import Mapping
from typing import Any

from k8s.objects import Object, listed, members, objects, text


def selects(selector: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    """Whether a LabelSelector takes an object with these labels; an empty one takes all."""
    wanted = members(selector, "matchLabels")
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_holds(each, labels) for each in objects(selector.get("matchExpressions")))


def as_query(selector: Mapping[str, Any]) -> str | None:
    """The LabelSelector as `labelSelector=` has it; None where it takes all."""
    wanted = members(selector, "matchLabels")
    parts = [f"{key}={value}" for key, value in wanted.items()]
    parts += [_written(each) for each in objects(selector.get("matchExpressions"))]
    return ",".join(parts) or None


def _holds(expression: Object, labels: Mapping[str, Any]) -> bool:
    key, among = text(expression.get("key")), listed(expression.get("values"))
    operator = expression.get("operator")
    if operator == "In":
        return labels.get(key) in among
    if operator == "NotIn":
        return labels.get(key) not in among
    return (key in labels) is (operator == "Exists")


def _written(expression: Object) -> str:
    key, among = text(expression.get("key")), ",".join(map(text, listed(expression.get("values"))))
    operator = expression.get("operator")
    if operator == "In":
        return f"{key} in ({among})"
    if operator == "NotIn":
        return f"{key} notin ({among})"
    return key if operator == "Exists" else f"!{key}"
