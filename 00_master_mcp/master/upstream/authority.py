"""In whose name the hub speaks to a server, as headers. A client's own token never goes on."""

from collections.abc import Mapping
from typing import Protocol

from flotilla import Principal
from flotilla.identity import Signer
from master.call import Call

HUB = Principal("hub", ("hub",))
"""As whom the hub asks for lists and health."""


class Authority(Protocol):
    def of_hub(self) -> Mapping[str, str]:
        """The headers of the hub's own requests."""
        ...

    def of_call(self, call: Call, body: bytes) -> Mapping[str, str]:
        """The headers of a client's request with this body."""
        ...


class Signed:
    """For our own services: an Ed25519 token for the audience and the principal."""

    def __init__(self, service: str, signer: Signer) -> None:
        self._service = service
        self._signer = signer

    def of_hub(self) -> Mapping[str, str]:
        return {"authorization": f"Bearer {self._signer.token(self._service, HUB)}"}

    def of_call(self, call: Call, body: bytes) -> Mapping[str, str]:
        if call.approved:
            tool = call.resolved().name
            token = self._signer.token_for_call(
                self._service, call.principal, tool=tool, body=body, approval=call.approval
            )
        else:
            token = self._signer.token(self._service, call.principal)
        return {"authorization": f"Bearer {token}"}


class Fixed:
    """For other people's servers: the headers of their entry in mcp.json, the same for all."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = dict(headers)

    def of_hub(self) -> Mapping[str, str]:
        return self._headers

    def of_call(self, call: Call, body: bytes) -> Mapping[str, str]:
        del call, body
        return self._headers


class OfPrincipals:
    """For other people's servers: what each principal has for them; the hub has its own."""

    def __init__(self, fixed: Mapping[str, str]) -> None:
        """`fixed` are headers that go along with everybody's."""
        self._fixed = dict(fixed)
        self.hub: Mapping[str, str] = {}
        """What the hub shows for itself now."""

    def of_hub(self) -> Mapping[str, str]:
        return {**self._fixed, **self.hub}

    def of_call(self, call: Call, body: bytes) -> Mapping[str, str]:
        del body
        assert call.credentials is not None, "the stage `sign_in` gives each call its credentials"
        return {**self._fixed, **call.credentials.headers}
