"""One approval as it is stored, and the call that waits for it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flotilla import Principal
from flotilla.json_text import from_json, to_json
from master.approvals.digest import kept_params
from master.approvals.seam import Held
from master.call import Call
from master.entry import View
from master.rpc import Texts


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a row holds: what may be told of it, and what only the hub may know."""

    held: Held
    interactive: bool
    """The asker's own client is one where a person sits."""
    sealed: str | None
    """The call, encrypted; None once it can run no more."""
    sealed_result: str | None = None
    runner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCall:
    """A call as it runs later: what the client asked for, and nothing of how it asked."""

    method: str
    name: str
    """The canonical name."""
    params: Mapping[str, str]
    view: View
    party: str
    client_info: Mapping[str, Any] | None

    @classmethod
    def of(cls, call: Call) -> "StoredCall":
        return cls(
            method=call.method,
            name=call.resolved().name,
            params=kept_params(call),
            view=call.view,
            party=call.party,
            client_info=call.client_info,
        )

    def text(self) -> str:
        view = self.view
        return to_json(
            {
                "method": self.method,
                "name": self.name,
                "params": dict(self.params),
                "view": [view.naming, view.service, view.profile],
                "party": self.party,
                "clientInfo": self.client_info,
            }
        ).decode()

    @classmethod
    def read(cls, text: str) -> "StoredCall":
        told = from_json(text.encode())
        naming, service, profile = told["view"]
        return cls(
            method=told["method"],
            name=told["name"],
            params=Texts(told["params"]),
            view=View(naming, service, profile),
            party=told["party"],
            client_info=told["clientInfo"],
        )


def body_of(held: Held) -> str:
    """The JSON text of what has no column of its own."""
    return to_json(
        {
            "roles": held.principal.roles,
            "arguments": held.arguments,
            "shown": held.shown,
            "correlationId": held.correlation_id,
        }
    ).decode()


def record_of(row: Any) -> Record:
    """The record of a whole row of `hub_approvals`."""
    body = from_json(row.body.encode())
    held = Held(
        id=row.id,
        digest=row.digest,
        state=row.state,
        tool=row.tool,
        service=row.service,
        principal=Principal(row.principal, tuple(body["roles"])),
        arguments=body["arguments"],
        shown=body["shown"],
        four_eyes=row.four_eyes,
        asked_at=moment(row.asked_at),
        expires_at=moment(row.expires_at),
        correlation_id=body["correlationId"],
        decided_at=_maybe(row.decided_at),
        decided_by=row.decided_by,
        way=row.way,
        reason=row.reason,
        allowed_until=_maybe(row.allowed_until),
        run_id=row.run_id,
        finished_at=_maybe(row.finished_at),
    )
    return Record(
        held=held,
        interactive=row.interactive,
        sealed=row.sealed,
        sealed_result=row.result,
        runner=row.runner,
    )


def written(at: datetime) -> str:
    """A time as the tables have it: texts of one length, which sort as the times do."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _maybe(text: str | None) -> datetime | None:
    return None if text is None else moment(text)
