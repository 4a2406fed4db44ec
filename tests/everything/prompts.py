"""The prompts: those of the conformance suite, one that asks, and enough for several pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import mcp_types as types
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

from .asking import Questions, filled, form
from .samples import PNG

Arguments = dict[str, str]
Fill = Callable[[Arguments, Questions], Awaitable[types.GetPromptResult]]


@dataclass(frozen=True)
class Template:
    """A prompt as it is listed, and what fills it in."""

    prompt: types.Prompt
    fill: Fill


def _user(*contents: types.ContentBlock) -> types.GetPromptResult:
    messages = [types.PromptMessage(role="user", content=content) for content in contents]
    return types.GetPromptResult(messages=messages)


def one_message(name: str, says: str) -> Template:
    """A prompt without arguments, of one text."""

    async def fill(arguments: Arguments, questions: Questions) -> types.GetPromptResult:
        return _user(types.TextContent(text=says))

    return Template(types.Prompt(name=name, description=f"Says: {says}"), fill)


def _required(arguments: Arguments, *names: str) -> list[str]:
    missing = [name for name in names if name not in arguments]
    if missing:
        raise MCPError(INVALID_PARAMS, f"missing arguments: {', '.join(missing)}")
    return [arguments[name] for name in names]


async def _with_arguments(arguments: Arguments, questions: Questions) -> types.GetPromptResult:
    first, second = _required(arguments, "arg1", "arg2")
    says = f"Two words came: arg1='{first}', arg2='{second}'"
    return _user(types.TextContent(text=says))


async def _with_resource(arguments: Arguments, questions: Questions) -> types.GetPromptResult:
    (uri,) = _required(arguments, "resourceUri")
    inside = types.TextResourceContents(
        uri=uri, mime_type="text/plain", text="What stands in the resource."
    )
    after = types.TextContent(text="Sum up the resource.")
    return _user(types.EmbeddedResource(resource=inside), after)


async def _with_image(arguments: Arguments, questions: Questions) -> types.GetPromptResult:
    picture = types.ImageContent(data=PNG, mime_type="image/png")
    return _user(picture, types.TextContent(text="Say what the picture shows."))


async def _that_asks(arguments: Arguments, questions: Questions) -> types.GetPromptResult:
    fields = {"context": {"type": "string"}}
    question = form("In which context?", fields, ["context"])
    answer = (await questions.ask({"user_context": question}))["user_context"]
    context = filled(answer, "context")
    return _user(types.TextContent(text=f"The context is: {context}"))


def _arguments(*names: str) -> list[types.PromptArgument]:
    return [types.PromptArgument(name=n, description=f"The {n}.", required=True) for n in names]


def _prompt(name: str, description: str, fill: Fill, *arguments: str) -> Template:
    return Template(
        types.Prompt(name=name, description=description, arguments=_arguments(*arguments) or None),
        fill,
    )


def every_prompt() -> dict[str, Template]:
    """By name, in the order of the list; the first five are what the suite asks for."""
    templates = (
        one_message("test_simple_prompt", "Say something short."),
        _prompt("test_prompt_with_arguments", "Two words.", _with_arguments, "arg1", "arg2"),
        _prompt("test_prompt_with_embedded_resource", "A resource.", _with_resource, "resourceUri"),
        _prompt("test_prompt_with_image", "A picture.", _with_image),
        _prompt("test_input_required_result_prompt", "Asks the user first.", _that_asks),
        *(one_message(f"numbered_prompt_{n}", f"number {n}") for n in range(1, 8)),
    )
    return {template.prompt.name: template for template in templates}
