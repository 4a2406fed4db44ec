"""An API with an OpenAPI document, used as an MCP server: a list of tools, and calls of them."""

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from flotilla import (
    InvalidArgument,
    NotConfigured,
    NotFound,
    TimedOut,
    UpstreamError,
)
from flotilla.redaction import Redactor
from flotilla.schema import refuse_unprintable
from master.external.openapi import security
from master.external.openapi.answer import Answer, Promise, result_of
from master.external.openapi.check import QUICK_S, Check, TooSlow
from master.external.openapi.choice import Choice
from master.external.openapi.document import Document
from master.external.openapi.operation import Operation
from master.external.openapi.request import Prepared, prepare, query_string
from master.external.openapi.sender import CONNECT_S, Sender, Sent
from master.external.openapi.server_url import Elsewhere, base_url, checked_url, operation_url
from master.external.openapi.style import is_header_text
from master.external.openapi.tokens import Client, Tokens
from master.external.openapi.tools import Imported, LeftOut, import_document
from master.upstream.transport.client import Unreachable, went_away

MAX_ANSWER_BYTES = 8 * 1024 * 1024
IN_A_THREAD_BYTES = 64 * 1024
"""A larger answer is parsed and checked in a thread, so that the others' calls go on."""
MAX_TOKENS_REMEMBERED = 20
"""Earlier tokens are redacted too: an API may echo one that has just been replaced."""


class OpenApiServer:
    """The operations of one document as tools; every request goes to one origin.

    `url` is the API's base URL and `source` where the document was fetched from; one of the two has
    to be there (see `server_url`). `credentials` map a security scheme of the document to its
    secret (see `security`), `token_urls` an OAuth 2.0 scheme to the URL of its tokens where that
    is not at the API's origin. With `output_schemas=False` no tool declares what it answers, for
    documents that are known to be wrong. The `session` keeps no cookies and outlives the server.

    Raises InvalidArgument, NotConfigured and TooLarge for what cannot be served, with the reason.
    """

    def __init__(
        self,
        document: Document,
        *,
        session: aiohttp.ClientSession,
        url: str | None = None,
        source: str | None = None,
        choice: Choice | None = None,
        credentials: Mapping[str, str] | None = None,
        token_urls: Mapping[str, str] | None = None,
        server_variables: Mapping[str, str] | None = None,
        output_schemas: bool = True,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        if not isinstance(session.cookie_jar, aiohttp.DummyCookieJar):
            raise TypeError("the session must keep no cookies: they would pass between callers")
        variables = server_variables or {}
        self._output_schemas = output_schemas
        self._base = base_url(document.root, url=url, source=source, variables=variables)
        self._sender = Sender(session, self._base.origin(), max_bytes=max_answer_bytes)
        self._schemes = security.read_schemes(document)
        self._credentials = _checked(credentials or {}, self._schemes)
        self._token_urls = self._checked_token_urls(token_urls or {})
        self._tokens = Tokens(session, on_new=self._remember)
        self._recent_tokens: list[str] = []
        self._redactor = Redactor(self._secrets())
        imported = import_document(document, choice)
        self._operations, self.left_out = _placed(imported, self._base, source, variables)
        self._inputs: dict[str, Check] = {}
        self._promises: dict[str, Promise] = {}

    @property
    def origin(self) -> str:
        """Where every request goes."""
        return str(self._base.origin())

    def tools(self) -> list[dict[str, Any]]:
        """The tools in MCP's listed form, in the document's order."""
        listed = [operation.tool() for operation, _ in self._operations.values()]
        if not self._output_schemas:
            for tool in listed:
                tool.pop("outputSchema", None)
        return listed

    async def call(
        self,
        name: str,
        arguments: Mapping[str, Any],
        *,
        timeout_s: float,
        headers: Mapping[str, str],
    ) -> dict[str, Any]:
        """One request to the API, and its answer as a CallToolResult.

        `headers` are the hub's own for correlation and trace. An answer other than 2xx is an error
        result. Raises NotFound for an unknown tool, InvalidArgument for arguments that do not fit,
        NotConfigured for a missing credential, TimedOut, Unavailable where the API cannot be
        reached, UpstreamError where it breaks off or gives no token.
        """
        if name not in self._operations:
            raise NotFound(f"no tool {name!r} here")
        operation, base = self._operations[name]
        await self._check(operation, arguments)
        prepared = prepare(operation, arguments, boundary=secrets.token_hex(16))
        needs = security.chosen(operation.security, self._schemes, self._credentials)
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._answer(prepared, base, needs, headers)
                return await self._result(answer, self._promise(operation))
        except aiohttp.ConnectionTimeoutError:
            raise Unreachable(f"{self.origin} took no connection in {CONNECT_S:g} s") from None
        except TimeoutError:
            raise TimedOut(f"{self.origin} did not answer in {timeout_s:g} s") from None
        except aiohttp.ClientConnectorError:
            raise Unreachable(f"{self.origin} cannot be reached") from None
        except aiohttp.ServerDisconnectedError:
            raise went_away(self.origin) from None
        except aiohttp.ClientError as error:
            raise UpstreamError(f"{self.origin} broke off: {type(error).__name__}") from None

    async def _check(self, operation: Operation, arguments: Mapping[str, Any]) -> None:
        refuse_unprintable(arguments)
        if operation.name not in self._inputs:
            self._inputs[operation.name] = Check(operation.input_schema)
        check, value = self._inputs[operation.name], dict(arguments)
        try:
            mistakes = check.mistakes(value, limit_s=QUICK_S)
        except TooSlow:
            mistakes = await asyncio.to_thread(check.mistakes, value)
        if mistakes:
            hint = "Compare with the tool's input schema."
            raise InvalidArgument("; ".join(mistakes), hint=hint)

    async def _result(self, answer: Answer, promise: Promise | None) -> dict[str, Any]:
        if len(answer.body) <= IN_A_THREAD_BYTES:
            try:
                return result_of(answer, promise, self._redactor, patient=False)
            except TooSlow:
                # The schema makes even a small answer slow to check.
                pass
        return await asyncio.to_thread(result_of, answer, promise, self._redactor)

    def _promise(self, operation: Operation) -> Promise | None:
        if operation.output is None or not self._output_schemas:
            return None
        known = self._promises.get(operation.name)
        if known is None:
            known = Promise(Check(operation.output.schema), operation.output.wrapped)
            self._promises[operation.name] = known
        return known

    async def _answer(
        self,
        prepared: Prepared,
        base: URL,
        needs: security.Alternative,
        headers: Mapping[str, str],
    ) -> Answer:
        refused: dict[str, str] = {}
        tokens = await self._tokens_for(needs, refused)
        answer = await self._sender.answer_to(self._sent(prepared, base, needs, tokens, headers))
        if answer.status == 401 and tokens:
            # A token may have been revoked before its time; a request answered 401 did nothing.
            tokens = await self._tokens_for(needs, refused=tokens)
            sent = self._sent(prepared, base, needs, tokens, headers)
            answer = await self._sender.answer_to(sent)
        return answer

    async def _tokens_for(
        self, needs: security.Alternative, refused: Mapping[str, str]
    ) -> dict[str, str]:
        return {
            name: await self._tokens.token(self._client(name), scopes, instead_of=refused.get(name))
            for name, scopes in needs.items()
            if self._schemes[name].kind == "client_credentials"
        }

    def _client(self, name: str) -> Client:
        url = self._token_urls.get(name) or self._own_token_url(self._schemes[name].token_url)
        if url is None:
            said = self._schemes[name].token_url
            raise NotConfigured(
                f"the tokens of {name!r} come from {said[:200]!r}, which is not the API's own "
                "origin",
                hint="Set the entry's `tokenUrls` to say that the client secret may go there.",
            )
        return Client(name, url, self._credentials[name])

    def _own_token_url(self, said: str) -> URL | None:
        """The document's URL of tokens where it is at the API's origin."""
        try:
            url = self._base.join(URL(said))
            return url if said and url.origin() == self._base.origin() else None
        except ValueError:
            return None

    def _sent(
        self,
        prepared: Prepared,
        base: URL,
        needs: security.Alternative,
        tokens: Mapping[str, str],
        more: Mapping[str, str],
    ) -> Sent:
        headers: CIMultiDict[str] = CIMultiDict(prepared.headers)
        query, cookies = list(prepared.query), list(prepared.cookies)
        for name in needs:
            scheme, secret = self._schemes[name], self._credentials[name]
            match scheme.kind:
                case "key":
                    security.put_key(scheme, secret, headers, query, cookies)
                case "basic":
                    headers["Authorization"] = security.basic(secret)
                case _:
                    headers["Authorization"] = f"Bearer {tokens.get(name, secret)}"
        if cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies)
        if prepared.content_type is not None:
            headers["Content-Type"] = prepared.content_type
        headers["Accept"] = "application/json, */*;q=0.8"
        headers.setdefault("User-Agent", "flotilla")
        for name, value in more.items():
            headers[name] = value
        tail = f"?{query_string(query)}" if query else ""
        # Joined as text: what is encoded stays as it is, and the path cannot climb.
        url = URL(f"{base.origin()}{base.raw_path.rstrip('/')}{prepared.path}{tail}", encoded=True)
        return Sent(prepared.method, url, headers, prepared.body)

    def _checked_token_urls(self, given: Mapping[str, str]) -> dict[str, URL]:
        for name in given:
            if name not in self._schemes:
                raise InvalidArgument(f"token URL for {name!r}: the document has no such scheme")
        return {name: checked_url(url, "token URL") for name, url in given.items()}

    def _remember(self, token: str) -> None:
        self._recent_tokens = [*self._recent_tokens[-MAX_TOKENS_REMEMBERED:], token]
        self._redactor = Redactor([*self._secrets(), *self._recent_tokens])

    def _secrets(self) -> list[str]:
        """The credentials, and their secret halves, which an API may tell alone."""
        whole = list(self._credentials.values())
        halves = [
            secret.partition(":")[2]
            for name, secret in self._credentials.items()
            if self._schemes[name].kind in ("basic", "client_credentials")
        ]
        return [*whole, *filter(None, halves)]


def _checked(
    credentials: Mapping[str, str], schemes: Mapping[str, security.Scheme]
) -> dict[str, str]:
    for name, secret in credentials.items():
        if name not in schemes:
            known = ", ".join(schemes) or "none"
            raise InvalidArgument(
                f"credential {name!r}: the document has no such security scheme (it has: {known})"
            )
        if schemes[name].kind == "unsupported":
            raise InvalidArgument(f"credential {name!r}: {schemes[name].reason}")
        if not secret or not is_header_text(secret):
            raise InvalidArgument(f"credential {name!r} is empty or has control characters")
    return dict(credentials)


def _placed(
    imported: Imported, base: URL, source: str | None, variables: Mapping[str, str]
) -> tuple[dict[str, tuple[Operation, URL]], tuple[LeftOut, ...]]:
    """Each operation with its base URL; those of another origin are left out."""
    placed: dict[str, tuple[Operation, URL]] = {}
    left_out = list(imported.left_out)
    for name, each in imported.operations.items():
        try:
            where = operation_url(each.servers, base=base, source=source, variables=variables)
        except (Elsewhere, InvalidArgument) as error:
            left_out.append(LeftOut(f"{each.method.upper()} {each.path}", str(error)))
        else:
            placed[name] = (each, where)
    return placed, tuple(left_out)
