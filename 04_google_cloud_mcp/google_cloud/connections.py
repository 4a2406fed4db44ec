"""Signs in to Google as an account says, and keeps one session and the SDK's clients of it.

Everything here blocks, and runs on a thread of flotilla.threads.
"""

import json
import threading
from functools import partial
from pathlib import Path
from typing import Any, cast

import requests
from google.auth import credentials as ga_credentials
from google.auth.transport.requests import AuthorizedSession, Request
from requests import PreparedRequest
from requests.adapters import HTTPAdapter

from flotilla import NotConfigured
from flotilla.credentials import Credentials, secret_named
from google_cloud.settings import GoogleAccount

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
FIELDS = "x-flotilla-fields"
"""As metadata of a call of the SDK: the only fields that Google is to send."""
PARTIAL = "x-flotilla-partial"
"""As metadata: what zones that cannot be reached lack is named, instead of an error for all."""
_PARAMETERS = {FIELDS: "fields", PARTIAL: "returnPartialSuccess"}
_SIGN_IN_S = 10
MAX_KEY_BYTES = 64 * 1024


class Adapter(HTTPAdapter):
    """The connections of an account, which all its clients share; nothing is asked twice by itself.

    Trusts the account's own authorities whatever REQUESTS_CA_BUNDLE says, and turns what calls of
    the SDK carry as metadata into parameters that Compute documents and the SDK's requests lack.
    """

    def __init__(self, ca_file: Path | None, places: int) -> None:
        super().__init__(pool_connections=8, pool_maxsize=places, max_retries=0)
        self._ca_file = ca_file

    def send(self, request: PreparedRequest, *places: Any, **more: Any) -> requests.Response:
        if self._ca_file is not None:
            more["verify"] = str(self._ca_file)
        for header, parameter in _PARAMETERS.items():
            if (value := request.headers.pop(header, None)) is not None:
                request.prepare_url(request.url or "", {parameter: value})
        answer = super().send(request, *places, **more)
        if 300 <= answer.status_code < 400:
            answer.close()
            raise requests.TooManyRedirects("Google's interfaces redirect nobody")
        return answer

    def close(self) -> None:
        # The pools alone would keep their connections until the last error that saw one is gone.
        pools = self.poolmanager.pools
        for key in pools.keys():  # noqa: SIM118  it cannot be iterated, being used by threads
            pools[key].close()
        super().close()


class SignedIn(ga_credentials.Credentials):
    """Google's credentials, whose tokens are fetched over the account's own connections.

    One thread fetches, the others wait for its token.
    """

    def __init__(self, inner: Any, adapter: Adapter) -> None:
        super().__init__()
        self._inner = inner
        session = requests.Session()
        prepare(session, adapter)
        self._asking = partial(Request(session), timeout=_SIGN_IN_S)
        self._turn = threading.Lock()

    def refresh(self, request: Any) -> None:
        with self._turn:
            self._inner.refresh(self._asking)

    def before_request(self, request: Any, method: str, url: str, headers: Any) -> None:
        with self._turn:
            self._inner.before_request(self._asking, method, url, headers)


class Connection:
    """An account that has signed in: its session, its own project, and clients by their class."""

    def __init__(self, account: GoogleAccount, credentials: Credentials, places: int) -> None:
        self.account = account
        signed_in, self.own_project = sign_in(account, credentials)
        if account.quota_project and hasattr(signed_in, "with_quota_project"):
            signed_in = signed_in.with_quota_project(account.quota_project)
        self._adapter = Adapter(account.ca_file, places)
        self._signed_in = SignedIn(signed_in, self._adapter)
        self._making = threading.Lock()
        self._clients: dict[type[Any], Any] = {}

    def of(self, kind: type[Any]) -> Any:
        """The SDK's client of that class: `connection.of(compute_v1.InstancesClient)`.

        Any, as all that comes from the SDK: its types leave half of their members unknown.
        """
        with self._making:
            if kind not in self._clients:
                self._clients[kind] = self._made(kind)
            return self._clients[kind]

    def fetched(self, url: str, parameters: dict[str, str], timeout_s: float) -> dict[str, Any]:
        """The JSON object at an address for which there is no client of the SDK."""
        from google.api_core import exceptions

        session = AuthorizedSession(self._signed_in)
        prepare(session, self._adapter)
        answer = session.get(url, params=parameters, timeout=timeout_s)
        if answer.status_code != 200:
            of: Any = exceptions
            raise of.from_http_response(answer)
        found = answer.json()
        return cast("dict[str, Any]", found) if isinstance(found, dict) else {}

    def close(self) -> None:
        """Close what no call uses any more; one that still runs opens its connection again."""
        self._adapter.close()

    def _made(self, kind: type[Any]) -> Any:
        module = kind.__module__
        if module.startswith("google.cloud.storage"):
            session = AuthorizedSession(self._signed_in)
            prepare(session, self._adapter)
            return kind(
                project=self.account.project or self.own_project or "none",
                credentials=self._signed_in,
                _http=session,
                client_options={"api_endpoint": self.account.url_of("storage")},
            )
        compute = module.startswith("google.cloud.compute")
        service = "compute" if compute else "resource_manager"
        client = kind(
            credentials=self._signed_in,
            transport="rest",
            client_options={"api_endpoint": self.account.url_of(service)},
        )
        # The SDK has no parameter for the session that it makes.
        prepare(client.transport._session, self._adapter)
        return client


def sign_in(account: GoogleAccount, credentials: Credentials) -> tuple[Any, str | None]:
    """Google's credentials object and the project that it belongs to, without asking for a token.

    Raises NotConfigured where there is nothing to sign in with.
    """
    if account.key is not None:
        source, project = _of_key(account, _key_of(account.key, credentials))
    else:
        source, project = _of_chain()
    if account.credential != "impersonate":
        return source, project
    from google.auth import impersonated_credentials

    override = None
    if account.endpoints.iam_credentials:
        override = (
            f"{account.endpoints.iam_credentials}/v1/projects/-/serviceAccounts/"
            f"{account.impersonate}:generateAccessToken"
        )
    made = impersonated_credentials.Credentials(
        source_credentials=source,
        target_principal=account.impersonate,
        target_scopes=[SCOPE],
        iam_endpoint_override=override,
    )
    return made, project


def _of_key(account: GoogleAccount, key: dict[str, Any]) -> tuple[Any, str | None]:
    from google.oauth2 import service_account

    if account.endpoints.token:
        key = {**key, "token_uri": account.endpoints.token}
    try:
        of: Any = service_account.Credentials
        made = of.from_service_account_info(key, scopes=[SCOPE])
    except Exception as error:  # noqa: BLE001  it raises what its parsers raise
        # Its own words may quote the key.
        raise NotConfigured(
            "the key of this account is none of a service account",
            hint="Store the whole JSON file that Google gave out.",
            details={"reason": "bad_key", "kind": type(error).__name__},
        ) from None
    project = key.get("project_id")
    return made, project if isinstance(project, str) else None


def _key_of(place: str, credentials: Credentials) -> dict[str, Any]:
    if (name := secret_named(place)) is not None:
        text = credentials.get(name)
    else:
        try:
            with Path(place).open("rb") as file:
                text = file.read(MAX_KEY_BYTES).decode()
        except (OSError, UnicodeDecodeError):
            raise NotConfigured(
                "the key file of this account cannot be read",
                hint=f"Let this service's user read {place}.",
                details={"reason": "key_unreadable"},
            ) from None
    try:
        key = json.loads(text)
    except ValueError:
        key = None
    if not isinstance(key, dict):
        raise NotConfigured(
            "the key of this account is not JSON",
            hint="Store the whole JSON file that Google gave out.",
            details={"reason": "bad_key"},
        )
    return cast("dict[str, Any]", key)


def _of_chain() -> tuple[Any, str | None]:
    import google.auth
    from google.auth import exceptions

    try:
        return google.auth.default(scopes=[SCOPE])  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    except exceptions.GoogleAuthError:
        raise NotConfigured(
            "Google's own chain found no credentials on this machine",
            hint="Set GOOGLE_APPLICATION_CREDENTIALS, or give the account a key.",
            details={"reason": "no_default_credentials"},
        ) from None


def prepare(session: requests.Session, adapter: Adapter) -> None:
    """Have a session use the account's connections, and carry its token to no other place."""
    session.mount("https://", adapter)
    # With an `auth` of its own a session leaves ~/.netrc alone, which would replace the token.
    session.auth = lambda request: request
