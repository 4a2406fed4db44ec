"""`/api/services/{service}/operations/{name}`: what a spoke does for the owner of the fleet."""

from collections.abc import Callable
from typing import Any, cast

import orjson
from starlette.requests import Request
from starlette.routing import BaseRoute

from flotilla import FlotillaError, InvalidArgument, correlation
from flotilla.operations import scope_of
from flotilla.serving.gates import whole_body
from master.audit.seam import AuditBook, Row
from master.owner import MAX_BODY_BYTES, owner_routes
from master.principals import OWNER
from master.upstream.operations import Operations

TIMEOUT_S = 55.0
"""Shorter than the commands wait for the hub."""


class OwnerOperations:
    """Passes the owner's requests on; their bodies may hold secrets and are written nowhere."""

    def __init__(
        self, operations: Operations, audit: AuditBook, did: Callable[[str], None]
    ) -> None:
        """`did` is told of the services that the owner had do something."""
        self._operations = operations
        self._audit = audit
        self._did = did

    def routes(self) -> list[BaseRoute]:
        return owner_routes([("POST", "/services/{service}/operations/{name}", self._run)])

    async def _run(self, request: Request) -> Any:
        service: str = request.path_params["service"]
        name: str = request.path_params["name"]
        body = _members(await whole_body(request.receive))
        correlation_id: str = request.scope[correlation.SCOPE]
        # Whatever the owner has a spoke do may change something: it is written down before.
        await self._audit.keep(_row("intent", service, name, correlation_id))
        outcome = FlotillaError.code
        try:
            told = await self._operations.run(
                service,
                name,
                body,
                principal=OWNER,
                timeout_s=TIMEOUT_S,
                correlation_id=correlation_id,
            )
            outcome = "ok"
        except FlotillaError as error:
            outcome = error.code
            raise
        finally:
            self._audit.note(_row("call", service, name, correlation_id, outcome))
            self._did(service)
        return told


def _members(raw: bytes | None) -> dict[str, Any]:
    if raw is None or len(raw) > MAX_BODY_BYTES:
        raise InvalidArgument("the body has over 1 MiB")
    try:
        told: Any = orjson.loads(raw or b"{}")
    except orjson.JSONDecodeError:
        raise InvalidArgument("the body is no JSON") from None
    if not isinstance(told, dict):
        raise InvalidArgument("the body is no JSON object")
    return cast("dict[str, Any]", told)


def _row(kind: Any, service: str, name: str, correlation_id: str, outcome: str = "ok") -> Row:
    return Row(
        kind=kind,
        principal=OWNER.name,
        roles=OWNER.roles,
        tool=scope_of(name),
        service=service,
        outcome=outcome,
        correlation_id=correlation_id,
    )
