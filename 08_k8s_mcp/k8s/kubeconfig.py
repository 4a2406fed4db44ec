"""Kubeconfig files: which contexts they have, and how each is reached.

Read by us and not by the client library, whose reader runs plugins with the whole environment,
swallows their errors, and leaves private keys in files of /tmp until the process ends.
Source: Kubernetes documentation, "Organizing Cluster Access Using kubeconfig Files".
"""

import base64
import binascii
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

from flotilla.errors import NotConfigured
from flotilla.settings import Misconfigured
from k8s.access import Access, Pem, Tokens
from k8s.exec_plugin import FromPlugin, Plugin
from k8s.tokens import Fixed, FromFile

MAX_FILE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Placed:
    """An entry of a file, and the folder that its relative paths start from."""

    value: Mapping[str, Any] = field(repr=False)
    folder: Path


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """Files merged as kubectl does it: the first that says something is right."""

    contexts: Mapping[str, Placed] = field(repr=False)
    clusters: Mapping[str, Placed] = field(repr=False)
    users: Mapping[str, Placed] = field(repr=False)
    current: str = ""

    @classmethod
    def read(cls, files: Sequence[Path]) -> "Kubeconfig":
        """Read those that exist; Misconfigured names the file that is none."""
        merged: dict[str, dict[str, Placed]] = {"contexts": {}, "clusters": {}, "users": {}}
        current = ""
        for file in files:
            parsed = _parsed(file)
            if parsed is None:
                continue
            for section, found in merged.items():
                for name, value in _named(parsed.get(section), section.removesuffix("s"), file):
                    found.setdefault(name, Placed(value, file.absolute().parent))
            current = current or str(parsed.get("current-context") or "")
        return cls(merged["contexts"], merged["clusters"], merged["users"], current)

    def access(self, context: str, *, exec_plugins: bool) -> Access:
        """How a context is reached. Raises NotConfigured for what is missing or not allowed."""
        placed = self.contexts.get(context)
        if placed is None:
            raise NotConfigured(f"the kubeconfig has no context {context!r} any more")
        cluster = self.clusters.get(str(placed.value.get("cluster") or ""))
        if cluster is None:
            raise NotConfigured(f"context {context!r} names a cluster that the kubeconfig lacks")
        user_name = str(placed.value.get("user") or "")
        user = self.users.get(user_name) if user_name else Placed({}, placed.folder)
        if user is None:
            raise NotConfigured(f"context {context!r} names a user that the kubeconfig lacks")
        told = cluster.value
        return Access(
            server=str(told.get("server") or ""),
            authority=_pem(cluster, "certificate-authority"),
            certificate=_pem(user, "client-certificate"),
            key=_pem(user, "client-key"),
            tokens=_tokens(context, user, exec_plugins=exec_plugins),
            namespace=str(placed.value.get("namespace") or "default"),
            tls_server_name=str(told.get("tls-server-name") or ""),
            proxy=str(told.get("proxy-url") or ""),
            insecure=told.get("insecure-skip-tls-verify") is True,
            impersonate=_impersonated(user.value),
        )


def named_files(setting: str | None, env: Mapping[str, str]) -> tuple[Path, ...]:
    """The files that a kubeconfig path of several names; without one, KUBECONFIG's or the usual."""
    text = setting or env.get("KUBECONFIG") or "~/.kube/config"
    home = env.get("HOME", "/")
    parts = (part for part in text.split(os.pathsep) if part)
    return tuple(Path(home + part[1:] if part.startswith("~/") else part) for part in parts)


def _parsed(file: Path) -> Mapping[str, Any] | None:
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise Misconfigured(f"{file} is too large for a kubeconfig")
        parsed: Any = yaml.safe_load(file.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Misconfigured(f"cannot read {file}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        # The parser's own words would show a line of it, which may be a token.
        raise Misconfigured(f"{file} is not valid YAML") from None
    if not isinstance(parsed, dict):
        raise Misconfigured(f"{file} is not a kubeconfig")
    return cast("dict[str, Any]", parsed)


def _named(listed: Any, key: str, file: Path) -> list[tuple[str, Mapping[str, Any]]]:
    if listed is None:
        return []
    if not isinstance(listed, list):
        raise Misconfigured(f"{file}: {key}s must be a list")
    found: list[tuple[str, Mapping[str, Any]]] = []
    for entry in cast("list[Any]", listed):
        name = cast("dict[str, Any]", entry).get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not name:
            raise Misconfigured(f"{file}: each of {key}s needs a name")
        value: Any = cast("dict[str, Any]", entry).get(key) or {}
        if not isinstance(value, dict):
            raise Misconfigured(f"{file}: {key} {name!r} must be a map")
        found.append((name, cast("dict[str, Any]", value)))
    return found


def _pem(placed: Placed, key: str) -> Pem:
    data = placed.value.get(f"{key}-data")
    if data:
        try:
            return Pem(text=base64.b64decode(str(data), validate=True).decode())
        except (binascii.Error, ValueError):
            raise NotConfigured(f"the kubeconfig's {key}-data is not base64 of PEM") from None
    file = placed.value.get(key)
    return Pem(file=str(placed.folder / str(file))) if file else Pem()


def _tokens(context: str, user: Placed, *, exec_plugins: bool) -> Tokens | None:
    told = user.value
    # As client-go: a file goes before a value, and both before a plugin.
    if told.get("tokenFile"):
        return FromFile(user.folder / str(told["tokenFile"]))
    if told.get("token"):
        return Fixed(str(told["token"]))
    if told.get("exec"):
        if not exec_plugins:
            raise NotConfigured(
                f"context {context!r} gets its token by running a program",
                hint="K8S_EXEC_PLUGINS=on allows it; a service account's token needs none.",
                details={"reason": "exec_plugin_not_allowed"},
            )
        return FromPlugin(_plugin(context, told["exec"], user.folder))
    if told.get("auth-provider") or told.get("username"):
        raise NotConfigured(
            f"context {context!r} uses a way to sign in that Kubernetes has removed",
            hint="Use a token, a client certificate or an exec plugin.",
        )
    return None


def _plugin(context: str, told: Any, folder: Path) -> Plugin:
    try:
        command = str(told["command"])
        # A plugin with a slash is relative to the kubeconfig; one without is looked for in PATH.
        placed = str(folder / command) if "/" in command else command
        return Plugin(
            command=placed,
            args=tuple(str(each) for each in told.get("args") or ()),
            api_version=str(told["apiVersion"]),
            env={str(each["name"]): str(each["value"]) for each in told.get("env") or ()},
            folder=str(folder),
            install_hint=str(told.get("installHint") or "")[:300],
        )
    except (KeyError, TypeError, AttributeError):
        raise NotConfigured(f"context {context!r}: its exec section is incomplete") from None


def _impersonated(user: Mapping[str, Any]) -> dict[str, str]:
    """Left out, a call would have the rights of the real user, who may do more."""
    if user.get("as-groups") or user.get("as-user-extra") or user.get("as-uid"):
        raise NotConfigured("as-groups, as-uid and as-user-extra of a kubeconfig are not supported")
    name = user.get("as")
    return {"Impersonate-User": str(name)} if name else {}
