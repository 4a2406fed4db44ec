"""Tools that ask their client: elicitation, sampling and roots, alone, together and in turn."""

import json
import secrets
from typing import Any

import mcp_types as types

from ..asking import Question, filled, form, roots, said, sample, url
from ..calls import Call, offer, text
from ..failing import ToolFailed

NAME = {"name": {"type": "string"}}
NAME_QUESTION = form("What is your name?", NAME, ["name"])


def _content(answer: types.ElicitResult) -> str:
    return json.dumps(answer.content)


async def sampling(call: Call) -> types.CallToolResult:
    answers = await call.questions.ask({"answer": sample(call.arguments["prompt"])})
    return text(f"the model said: {said(answers['answer'])}")


async def elicitation(call: Call) -> types.CallToolResult:
    question = form(
        call.arguments["message"],
        {
            "username": {"type": "string", "description": "The name to be called by"},
            "email": {"type": "string", "description": "Where to write to"},
        },
        ["username", "email"],
    )
    answer = (await call.questions.ask({"user": question}))["user"]
    return text(f"the user answered: action={answer.action}, content={_content(answer)}")


async def defaults(call: Call) -> types.CallToolResult:
    question = form(
        "Please look over what is filled in",
        {
            "name": {"type": "string", "default": "John Doe"},
            "age": {"type": "integer", "default": 30},
            "score": {"type": "number", "default": 95.5},
            "status": {
                "type": "string",
                "enum": ["active", "inactive", "pending"],
                "default": "active",
            },
            "verified": {"type": "boolean", "default": True},
        },
    )
    return await _completed(call, question)


ENUMS: dict[str, Any] = {
    "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
    "titledSingle": {
        "type": "string",
        "oneOf": [
            {"const": "value1", "title": "One"},
            {"const": "value2", "title": "Two"},
            {"const": "value3", "title": "Three"},
        ],
    },
    "legacyEnum": {
        "type": "string",
        "enum": ["opt1", "opt2", "opt3"],
        "enumNames": ["Number one", "Number two", "Number three"],
    },
    "untitledMulti": {
        "type": "array",
        "items": {"type": "string", "enum": ["option1", "option2", "option3"]},
    },
    "titledMulti": {
        "type": "array",
        "items": {
            "anyOf": [
                {"const": "value1", "title": "Red"},
                {"const": "value2", "title": "Green"},
                {"const": "value3", "title": "Blue"},
            ]
        },
    },
}


async def enums(call: Call) -> types.CallToolResult:
    return await _completed(call, form("Please choose", ENUMS))


async def every_kind(call: Call) -> types.CallToolResult:
    """A form with every kind of field, with limits, formats, titles and defaults."""
    fields: dict[str, Any] = {
        "mail": {"type": "string", "format": "email", "title": "Mail"},
        "day": {"type": "string", "format": "date"},
        "word": {"type": "string", "minLength": 2, "maxLength": 8, "description": "Two to eight"},
        "count": {"type": "integer", "minimum": 1, "maximum": 9, "default": 3},
        "share": {"type": "number", "minimum": 0, "maximum": 1},
        "sure": {"type": "boolean", "default": False},
        **ENUMS,
    }
    return await _completed(call, form("A form with everything", fields, ["word", "count"]))


async def _completed(call: Call, question: Question) -> types.CallToolResult:
    answer = (await call.questions.ask({"form": question}))["form"]
    return text(f"the form came back: action={answer.action}, content={_content(answer)}")


async def ask_name(call: Call) -> types.CallToolResult:
    answer = (await call.questions.ask({"user_name": NAME_QUESTION}))["user_name"]
    return text(f"Hello, {filled(answer, 'name')}!")


async def ask_capital(call: Call) -> types.CallToolResult:
    question = sample("Which city is the capital of France?")
    answers = await call.questions.ask({"capital_question": question})
    return text(said(answers["capital_question"]))


async def ask_roots(call: Call) -> types.CallToolResult:
    found = (await call.questions.ask({"client_roots": roots()}))["client_roots"]
    return text(*[f"{root.name or 'root'}: {root.uri}" for root in found.roots] or ["no roots"])


async def confirm(call: Call) -> types.CallToolResult:
    question = form("Shall it be done?", {"ok": {"type": "boolean"}}, ["ok"])
    answer = (await call.questions.ask({"confirm": question}))["confirm"]
    return text(f"state-ok: {_content(answer)}")


async def several(call: Call) -> types.CallToolResult:
    greeting = sample("Greet someone in a few words", 50)
    answers = await call.questions.ask(
        {"user_name": NAME_QUESTION, "greeting": greeting, "client_roots": roots()}
    )
    name = filled(answers["user_name"], "name")
    where = len(answers["client_roots"].roots)
    return text(f"{said(answers['greeting'])} {name}, at {where} roots")


async def in_rounds(call: Call) -> types.CallToolResult:
    first = form("First: what is your name?", NAME, ["name"])
    name = (await call.questions.ask({"step1": first}))["step1"]
    color = {"color": {"type": "string"}}
    second = form("Then: which color do you like?", color, ["color"])
    favorite = (await call.questions.ask({"step2": second}))["step2"]
    return text(f"{_content(name)} likes {_content(favorite)}")


async def in_turn(call: Call) -> types.CallToolResult:
    """As many questions as the caller says, each after the answer to the one before."""
    numbers: list[Any] = []
    for each in range(1, int(call.arguments["count"]) + 1):
        question = form(f"Question {each}", {"answer": {"type": "string"}}, ["answer"])
        answer = (await call.questions.ask({f"q{each}": question}))[f"q{each}"]
        if answer.action != "accept":
            raise ToolFailed(f"question {each}: {answer.action}")
        numbers.append(filled(answer, "answer"))
    return text(json.dumps(numbers), structured_content={"answers": numbers})


async def what_the_client_can(call: Call) -> types.CallToolResult:
    wanted = {"user_name": NAME_QUESTION, "greeting": sample("Greet"), "client_roots": roots()}
    able = {key: question for key, question in wanted.items() if call.questions.can(question)}
    if not able:
        return text("the client can answer nothing")
    answers = await call.questions.ask(able)
    return text(f"answered: {', '.join(answers)}")


async def streaming(call: Call) -> types.CallToolResult:
    await call.progress(1, 2, "before the question")
    answer = (await call.questions.ask({"user_name": NAME_QUESTION}))["user_name"]
    await call.progress(2, 2, "after the question")
    return text(f"{answer.action}: {_content(answer)}")


async def missing_capability(call: Call) -> types.CallToolResult:
    answers = await call.questions.ask({"answer": sample("Can you hear me?")})
    return text(said(answers["answer"]))


async def ask_url(call: Call) -> types.CallToolResult:
    address = "https://example.com/consent"
    # The modern era has dropped the ID: who came back is known by the request state there.
    known_by = None if call.modern else secrets.token_hex(8)
    answer = (await call.questions.ask({"page": url("Please open", address, known_by)}))["page"]
    if known_by is not None:
        await call.ctx.session.send_elicit_complete(known_by, call.ctx.request_id)
    return text(f"action={answer.action}")


SUITE = (
    offer(
        "test_sampling",
        "Asks the client's model.",
        sampling,
        properties={"prompt": {"type": "string"}},
        required=("prompt",),
    ),
    offer(
        "test_elicitation",
        "Asks the user for a name and an address.",
        elicitation,
        properties={"message": {"type": "string"}},
        required=("message",),
    ),
    offer("test_elicitation_sep1034_defaults", "Asks by a form with defaults.", defaults),
    offer("test_elicitation_sep1330_enums", "Asks by a form with every kind of choice.", enums),
    offer("test_input_required_result_elicitation", "Asks for a name.", ask_name),
    offer("test_input_required_result_sampling", "Asks the model for a capital.", ask_capital),
    offer("test_input_required_result_list_roots", "Asks for the roots.", ask_roots),
    offer("test_input_required_result_request_state", "Asks to confirm.", confirm),
    offer("test_input_required_result_multiple_inputs", "Asks three things at once.", several),
    offer("test_input_required_result_multi_round", "Asks two things in turn.", in_rounds),
    offer("test_input_required_result_tampered_state", "Asks to confirm.", confirm),
    offer(
        "test_input_required_result_capabilities",
        "Asks only what the client can answer.",
        what_the_client_can,
    ),
    offer("test_streaming_elicitation", "Asks in the middle of its progress.", streaming),
    offer("test_missing_capability", "Needs a client that samples.", missing_capability),
)
OURS = (
    offer("ask_by_url", "Asks the user to open a page.", ask_url),
    offer("ask_every_kind", "Asks by a form with every kind of field.", every_kind),
    offer(
        "ask_in_turn",
        "Asks so many questions, one after the other.",
        in_turn,
        properties={"count": {"type": "integer", "minimum": 0, "maximum": 1000}},
        required=("count",),
    ),
)
