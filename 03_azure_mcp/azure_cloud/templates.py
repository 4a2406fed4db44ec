"""Templates of Resource Manager: what of them goes to Azure, what their what-if says. Pure.

Source: Azure Resource Manager, "Template syntax" and "What-if operation".
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, cast

from azure_cloud.hiding import HIDDEN, names_secret, shown
from azure_cloud.ids import group_in, last_of
from azure_cloud.reading import at, each_of, text_at
from flotilla import InvalidArgument, Model, TooLarge
from flotilla.json_text import to_json
from flotilla.meta import members

Mode = Literal["Incremental", "Complete"]
MAX_TEMPLATE_BYTES = 1024 * 1024
MOST_CHANGES = 200
MOST_FIELDS = 20
MOST_VALUE_CHARS = 300
MAX_DIFF_BYTES = 15 * 1024
_SECURE = ("securestring", "secureobject")
_SIGNS = {"Create": "+", "Delete": "-", "Modify": "~", "Deploy": "!", "Unsupported": "?"}
_LISTS = re.compile(r"(?<![\w'])list\w*\s*\(", re.IGNORECASE)
_QUIET = ("NoChange", "Ignore")


class FieldChange(Model):
    path: str
    kind: str
    before: str | None = None
    after: str | None = None


class ResourceChange(Model):
    """`change` is Azure's word: Create, Modify, Delete, Deploy, NoChange, Ignore, Unsupported."""

    change: str
    id: str
    type: str | None = None
    name: str
    resource_group: str | None = None
    fields: list[FieldChange]


def checked(template: Mapping[str, Any]) -> Mapping[str, Any]:
    """The template; InvalidArgument for what is none."""
    if not isinstance(template.get("$schema"), str) or "resources" not in template:
        raise InvalidArgument(
            "template needs `$schema` and `resources`",
            hint="Pass a whole ARM template as JSON; compile Bicep first.",
        )
    if len(to_json(template)) > MAX_TEMPLATE_BYTES:
        raise TooLarge("the template has over 1 MiB", hint="Split it.")
    return template


def parameters_of(
    template: Mapping[str, Any],
    parameters: Mapping[str, Any],
    secrets: Mapping[str, str],
    *,
    placeholder: str | None = None,
) -> dict[str, Any]:
    """The parameters as Azure takes them.

    A secure one comes from `secrets` alone, so that its value stands in no log and no approval;
    `placeholder` stands for those that are missing. Raises InvalidArgument.
    """
    declared = members(template.get("parameters"))
    unknown = sorted({*parameters, *secrets} - set(declared))
    if unknown:
        raise InvalidArgument(f"the template has no parameter {', '.join(unknown[:5])}")
    secure = {name for name, each in declared.items() if _is_secure(each)}
    if plain := sorted(secure & set(parameters)):
        raise InvalidArgument(
            f"{', '.join(plain[:5])} is a secure parameter",
            hint="Pass its value or a secret handle in secretParameters.",
        )
    if other := sorted(set(secrets) - secure):
        raise InvalidArgument(
            f"{', '.join(other[:5])} is no secure parameter of the template",
            hint="Declare it as secureString, or pass it in parameters.",
        )
    given: dict[str, Any] = {**parameters, **secrets}
    if placeholder is not None:
        for name in secure - set(given):
            given[name] = placeholder
    return {name: {"value": value} for name, value in given.items()}


def reads_keys(template: Any) -> bool:
    """Whether an expression calls one of the list functions, which give keys and tokens.

    What of them is worked out would stand in a what-if under whatever name the template has.
    """
    if isinstance(template, Mapping):
        return any(map(reads_keys, cast("Mapping[str, Any]", template).values()))
    if isinstance(template, list):
        return any(map(reads_keys, cast("list[Any]", template)))
    return isinstance(template, str) and template.startswith("[") and bool(_LISTS.search(template))


def changes_of(answer: Any, hidden: Iterable[str], *, bare: bool = False) -> list[ResourceChange]:
    """The changes of a what-if; what must not be read is taken out of them.

    `bare`: no values at all.
    """
    secrets = [each for each in hidden if len(each) > 3]
    found = [_change(each, secrets) for each in each_of(at(answer, "properties", "changes"))]
    return [each.model_copy(update={"fields": []}) for each in found] if bare else found


def diff_of(changes: list[ResourceChange]) -> str:
    """The changes as text, as `+`, `-` and `~`, within 15 KB."""
    lines: list[str] = []
    size = 0
    loud = [each for each in changes if each.change not in _QUIET]
    for number, each in enumerate(loud):
        block = [f"{_SIGNS.get(each.change, ' ')} {each.type} {each.name}"]
        for field in each.fields:
            if field.before is not None:
                block.append(f"  - {field.path}: {field.before}")
            if field.after is not None:
                block.append(f"  + {field.path}: {field.after}")
        size += sum(len(line.encode()) + 1 for line in block)
        if size > MAX_DIFF_BYTES:
            lines.append(f"... and {len(loud) - number} resources more")
            break
        lines += block
    return "\n".join(lines)


def counted(changes: list[ResourceChange]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for each in changes:
        counts[each.change] = counts.get(each.change, 0) + 1
    return counts


def _change(found: Mapping[str, Any], secrets: list[str]) -> ResourceChange:
    where = str(found.get("resourceId"))
    kind = text_at(found, "after", "type") or text_at(found, "before", "type") or _type_in(where)
    return ResourceChange(
        change=str(found.get("changeType")),
        id=where,
        type=kind,
        name=last_of(where),
        resource_group=group_in(where),
        fields=list(_fields(each_of(found.get("delta")), secrets, ""))[:MOST_FIELDS],
    )


def _fields(
    delta: list[Mapping[str, Any]], secrets: list[str], above: str
) -> Iterable[FieldChange]:
    for each in delta:
        path = f"{above}{each.get('path')}"
        children = each_of(each.get("children"))
        if children:
            yield from _fields(children, secrets, f"{path}.")
            continue
        hides = any(names_secret(part) for part in path.split("."))
        yield FieldChange(
            path=path,
            kind=str(each.get("propertyChangeType")),
            before=_value(each.get("before"), secrets, hides=hides),
            after=_value(each.get("after"), secrets, hides=hides),
        )


def _value(value: Any, secrets: list[str], *, hides: bool) -> str | None:
    if value is None:
        return None
    if hides:
        return HIDDEN
    safe = shown(value)
    text = safe if isinstance(safe, str) else to_json(safe).decode()
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return text if len(text) <= MOST_VALUE_CHARS else f"{text[:MOST_VALUE_CHARS]}..."


def _type_in(resource_id: str) -> str | None:
    _, _, rest = resource_id.rpartition("/providers/")
    parts = rest.split("/")
    return "/".join([parts[0], *parts[1::2]]) if len(parts) > 2 else None


def _is_secure(parameter: Any) -> bool:
    return str(members(parameter).get("type")).lower() in _SECURE
