"""Completion of the arguments of prompts and templates."""

import mcp_types as types

CITIES = ("paris", "park", "party", "parma", "perth", "porto", "prague")
COUNTRIES = {"paris": "france", "parma": "italy", "perth": "australia", "porto": "portugal"}
IDS = tuple(f"{number:03}" for number in range(150))
MOST = 100
"""The protocol's limit of values in one answer."""


def complete(params: types.CompleteRequestParams) -> types.CompleteResult:
    """Values that begin with what was typed; `arg2` follows from the `arg1` of the context."""
    known = params.context.arguments if params.context and params.context.arguments else {}
    match params.ref, params.argument.name:
        case types.PromptReference(name="test_prompt_with_arguments"), "arg1":
            values = CITIES
        case types.PromptReference(name="test_prompt_with_arguments"), "arg2":
            values = tuple(filter(None, [COUNTRIES.get(known.get("arg1", ""))]))
        case types.ResourceTemplateReference(), "id":
            values = IDS
        case _:
            values = ()
    found = [value for value in values if value.startswith(params.argument.value)]
    completion = types.Completion(values=found[:MOST], total=len(found), has_more=len(found) > MOST)
    return types.CompleteResult(completion=completion)
