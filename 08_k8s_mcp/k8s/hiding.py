"""What of an object is never shown: values of Secrets, literals that look like secrets, and the
bookkeeping in which they stand a second time. Pure.
"""

import binascii
import re
from typing import Any, cast

from flotilla.secret_shapes import names_a_secret
from k8s.objects import Object, listed, members, objects, text

HIDDEN = "<hidden: looks like a secret>"
_WHOLE = re.compile(r"(?i)last-applied|/(?:applied|original-configuration)$")
_SECRET_ENDING = re.compile(
    r"(?i)(?:^|[_.-])(?:\w*pass(?:word|wd|phrase)?|pwd|secret|token|credentials?|(?:\w*_)?key)$"
)
_SECRET_FLAG = re.compile(r"(?i)--?[a-z0-9-]*(?:password|passwd|secret|token|api-?key)$")
_ENCODED_BEGIN = "LS0tLS1CRUdJTi"
"""`-----BEGIN ` in base64."""
_ENCODED_PEM = re.compile(_ENCODED_BEGIN + r"[A-Za-z0-9+/]+={0,2}")
_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")


def shown(thing: Object) -> Object:
    """A copy of the object without managedFields and without what is secret in it."""
    whole: Any = _walked(thing)
    return cast("Object", whole)


def is_secret_literal(name: str, value: str) -> bool:
    """Whether an environment variable given as text is a secret: more is taken for one here than
    in prose, because a name is all that is known of it."""
    if not value or value.lower() in ("true", "false"):
        return False
    return names_a_secret(name, value) or _SECRET_ENDING.search(name) is not None


def holds_whole(annotation: str) -> bool:
    """Whether an annotation of that name holds the whole object once more, the data of a Secret
    too: kubectl's last-applied-configuration is not the only one."""
    return _WHOLE.search(annotation) is not None


def without_encoded_keys(told: str) -> str:
    """The text without private keys in base64, as a kubeconfig has them, in a ConfigMap say."""
    return _ENCODED_PEM.sub(_unless_key, told) if _ENCODED_BEGIN in told else told


def _unless_key(found: re.Match[str]) -> str:
    start = found[0][:64]
    title = binascii.a2b_base64(start[: len(start) // 4 * 4])
    return HIDDEN if b"PRIVATE KEY" in title else found[0]


def is_secret_flag(word: Any) -> bool:
    """Whether the argument after this one is a secret: `--password`."""
    return isinstance(word, str) and _SECRET_FLAG.fullmatch(word) is not None


def _walked(value: Any) -> Any:
    if isinstance(value, list):
        return [_walked(each) for each in cast("list[Any]", value)]
    if isinstance(value, str):
        return without_encoded_keys(value)
    if not isinstance(value, dict):
        return value
    thing = cast("Object", value)
    found = {key: _walked(inner) for key, inner in thing.items()}
    if "metadata" in found:
        found["metadata"] = _metadata(members(found, "metadata"))
    if found.get("kind") == "Secret":
        for key in ("data", "stringData"):
            if key in found:
                found[key] = _sizes(thing.get(key), encoded=key == "data")
    for key in _CONTAINERS:
        if isinstance(found.get(key), list):
            found[key] = [_container(each) for each in listed(found[key])]
    return found


def _metadata(meta: Object) -> Object:
    kept = {key: value for key, value in meta.items() if key != "managedFields"}
    if notes := members(kept, "annotations"):
        kept["annotations"] = {k: value for k, value in notes.items() if not holds_whole(k)}
        if not kept["annotations"]:
            del kept["annotations"]
    return kept


def _sizes(data: Any, *, encoded: bool) -> dict[str, str]:
    """The keys of a Secret, each with the size of its value in bytes."""
    sizes = {key: _size(text(value), encoded=encoded) for key, value in members(data).items()}
    return {key: f"<hidden: {size} bytes>" for key, size in sizes.items()}


def _size(value: str, *, encoded: bool) -> int:
    if not encoded:
        return len(value.encode(errors="replace"))
    return len(value) * 3 // 4 - value.count("=", -2)


def _container(container: Any) -> Any:
    if not isinstance(container, dict):
        return container
    kept = dict(cast("Object", container))
    if isinstance(kept.get("env"), list):
        kept["env"] = [_variable(each) for each in objects(kept["env"])]
    for key in ("command", "args"):
        if isinstance(kept.get(key), list):
            kept[key] = _arguments(listed(kept[key]))
    return kept


def _variable(variable: Object) -> Object:
    if is_secret_literal(text(variable.get("name")), text(variable.get("value"))):
        return {**variable, "value": HIDDEN}
    return variable


def _arguments(words: list[Any]) -> list[Any]:
    """`["--password", "x"]` hides x; `--password=x` is known by its shape anyway."""
    found = list(words)
    for at, word in enumerate(words[:-1]):
        if is_secret_flag(word):
            found[at + 1] = HIDDEN
    return found
