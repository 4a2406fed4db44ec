"""Questions that the server asks while it answers a request, put as each era puts them.

In the handshake era a question is a request of the server's on the stream of the call. In the
modern era there is none of that: the call ends with `input_required`, the client calls again with
the answers, and the handler runs anew from its start. So a handler only says what it must know,
`await questions.ask(...)`, and is the same for both.
"""

import json
from collections.abc import Mapping
from typing import Any

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types import MISSING_REQUIRED_CLIENT_CAPABILITY
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from .failing import ToolFailed

type_of_answer: dict[str, type[types.Result]] = {
    "elicitation/create": types.ElicitResult,
    "sampling/createMessage": types.CreateMessageResult,
    "roots/list": types.ListRootsResult,
}

Question = types.InputRequest
Answers = dict[str, Any]
"""By key; of the type that the question's method has, or as it came over the wire."""


class InputNeeded(Exception):
    """The client has to answer first; `result` says what, and carries the answers so far."""

    def __init__(self, result: types.InputRequiredResult) -> None:
        super().__init__("the client has to answer first")
        self.result = result


class Questions:
    """What one request may ask its client, and what the client has said so far."""

    def __init__(
        self,
        ctx: ServerRequestContext[Any, Any],
        responses: Mapping[str, types.InputResponse] | None,
        state: str | None,
    ) -> None:
        self._ctx = ctx
        self._said: Answers = {
            key: response.model_dump(by_alias=True, mode="json", exclude_none=True)
            for key, response in (responses or {}).items()
        }
        # The state arrives unsealed: the SDK's boundary has refused what we did not write.
        self._settled: Answers = json.loads(state)["answers"] if state else {}

    @property
    def modern(self) -> bool:
        return self._ctx.protocol_version in MODERN_PROTOCOL_VERSIONS

    def can(self, question: Question) -> bool:
        """Whether the client says that it can answer this."""
        return self._ctx.session.check_client_capability(_needed(question)) and _mode_is_known(
            question, self._ctx.session.client_capabilities
        )

    async def ask(self, questions: Mapping[str, Question]) -> Answers:
        """The answers by key, as the result models of their methods.

        Raises InputNeeded in the modern era while one is missing; the protocol's own error there,
        and ToolFailed in the handshake era, when the client cannot answer such a question.
        """
        for question in questions.values():
            self._require(question)
        answers = {key: await self._answer(key, each) for key, each in questions.items()}
        missing = {key: questions[key] for key, answer in answers.items() if answer is None}
        if missing:
            raise InputNeeded(
                types.InputRequiredResult(
                    input_requests=missing,
                    request_state=json.dumps({"answers": self._settled, "asks": sorted(missing)}),
                )
            )
        return answers

    async def _answer(self, key: str, question: Question) -> types.Result | None:
        answer_type = type_of_answer[question.method]
        if not self.modern:
            return await self._ctx.session.send_request(
                question,
                answer_type,
                metadata=ServerMessageMetadata(related_request_id=self._ctx.request_id),
            )
        found = self._settled.get(key, self._said.get(key))
        if found is None:
            return None
        self._settled[key] = found
        return answer_type.model_validate(found, by_name=False)

    def _require(self, question: Question) -> None:
        if self.can(question):
            return
        needed = _needed(question).model_dump(by_alias=True, mode="json", exclude_none=True)
        if not self.modern:
            raise ToolFailed(f"the client has not declared {json.dumps(needed)}")
        raise MCPError(
            MISSING_REQUIRED_CLIENT_CAPABILITY,
            "a capability that the client has not declared is needed",
            {"requiredCapabilities": needed},
        )


def _needed(question: Question) -> types.ClientCapabilities:
    match question:
        case types.CreateMessageRequest():
            tools = types.SamplingToolsCapability() if question.params.tools else None
            return types.ClientCapabilities(sampling=types.SamplingCapability(tools=tools))
        case types.ListRootsRequest():
            return types.ClientCapabilities(roots=types.RootsCapability())
        case types.ElicitRequest(params=types.ElicitRequestURLParams()):
            url = types.ElicitationCapability(url=types.UrlElicitationCapability())
            return types.ClientCapabilities(elicitation=url)
        case types.ElicitRequest():
            return types.ClientCapabilities(elicitation=types.ElicitationCapability())


def _mode_is_known(question: Question, declared: types.ClientCapabilities | None) -> bool:
    # The SDK's check stops at `elicitation`; a client without `url` must not be sent a URL.
    if not isinstance(question.params, types.ElicitRequestURLParams):
        return True
    elicitation = declared.elicitation if declared else None
    return elicitation is not None and elicitation.url is not None


def form(message: str, properties: dict[str, Any], required: list[str] | None = None) -> Question:
    """A question in form mode; without `required`, nothing need be filled in."""
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required
    params = types.ElicitRequestFormParams(message=message, requested_schema=schema)
    return types.ElicitRequest(params=params)


def url(message: str, address: str, elicitation_id: str | None) -> Question:
    """A question in URL mode; the ID is for the handshake era alone."""
    params = types.ElicitRequestURLParams(
        message=message, url=address, elicitation_id=elicitation_id
    )
    return types.ElicitRequest(params=params)


def sample(prompt: str, max_tokens: int = 100) -> Question:
    """One user message for the client's model."""
    message = types.SamplingMessage(role="user", content=types.TextContent(text=prompt))
    params = types.CreateMessageRequestParams(messages=[message], max_tokens=max_tokens)
    return types.CreateMessageRequest(params=params)


def roots() -> Question:
    """Where the client lets a server work."""
    return types.ListRootsRequest(params=types.RequestParams())


def filled(answer: types.ElicitResult, field: str) -> Any:
    """What the user put into a field, or None."""
    return dict(answer.content or {}).get(field)


def said(answer: types.CreateMessageResult) -> str:
    """The text of a model's answer."""
    blocks = answer.content if isinstance(answer.content, list) else [answer.content]
    return " ".join(block.text for block in blocks if isinstance(block, types.TextContent))
