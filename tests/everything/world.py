"""The server itself: what it lists, who listens, and the handlers of every method."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
import mcp_types as types
from mcp.server.caching import CacheHint
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.models import InitializationOptions
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.subscriptions import ListenHandler
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

from .asking import InputNeeded, Questions
from .calls import Call, Offer, text
from .completion import complete
from .endings import Ending
from .failing import ToolFailed
from .listeners import Listeners, connection_of
from .paging import page
from .prompts import Template, every_prompt
from .resources import Document, every_resource, every_template
from .tools import every_tool
from .unknown import add_unknown_fields

NAME = "everything"
VERSION = "1.0.0"
TOOLS_A_PAGE, PROMPTS_A_PAGE, RESOURCES_A_PAGE, TEMPLATES_A_PAGE = 30, 5, 5, 2
"""The suite looks at first pages alone: they hold what it asks for, and ours comes after."""

Context = ServerRequestContext[Any, Any]
log = logging.getLogger(__name__)


class _Server(Server[dict[str, Any]]):
    """Says that its lists change, which the SDK's default denies in the handshake era."""

    def create_initialization_options(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
    ) -> InitializationOptions:
        changing = NotificationOptions(True, True, True)
        return super().create_initialization_options(
            notification_options or changing, experimental_capabilities, extensions
        )


class World:
    """What the handlers share. One world serves any number of connections."""

    def __init__(self) -> None:
        self.tools: dict[str, Offer] = every_tool()
        self.prompts: dict[str, Template] = every_prompt()
        self.resources: dict[str, Document] = every_resource()
        self.templates = every_template()
        self.listeners = Listeners()
        self.endings: dict[str, Ending] = {}
        self.version = 1

    async def list_tools(
        self, ctx: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        tools = [each.tool for each in self.tools.values()]
        found, following = page(tools, params and params.cursor, TOOLS_A_PAGE)
        return types.ListToolsResult(tools=found, next_cursor=following)

    async def call_tool(
        self, ctx: Context, params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        offer = self.tools.get(params.name)
        if offer is None:
            raise MCPError(INVALID_PARAMS, f"Unknown tool: {params.name}", {"name": params.name})
        arguments = params.arguments or {}
        wrong = next(_mistakes(offer.tool.input_schema, arguments), None)
        if wrong is not None:
            return text(f"invalid arguments: {wrong.message}", is_error=True)
        questions = Questions(ctx, params.input_responses, params.request_state)
        try:
            return await offer.run(Call(arguments, ctx, self, questions))
        except InputNeeded as needed:
            return needed.result
        except ToolFailed as failed:
            return text(str(failed), is_error=True)

    async def list_prompts(
        self, ctx: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListPromptsResult:
        prompts = [each.prompt for each in self.prompts.values()]
        found, following = page(prompts, params and params.cursor, PROMPTS_A_PAGE)
        return types.ListPromptsResult(prompts=found, next_cursor=following)

    async def get_prompt(
        self, ctx: Context, params: types.GetPromptRequestParams
    ) -> types.GetPromptResult | types.InputRequiredResult:
        template = self.prompts.get(params.name)
        if template is None:
            raise MCPError(INVALID_PARAMS, f"Unknown prompt: {params.name}")
        questions = Questions(ctx, params.input_responses, params.request_state)
        try:
            return await template.fill(params.arguments or {}, questions)
        except InputNeeded as needed:
            return needed.result
        except ToolFailed as failed:
            raise MCPError(INVALID_PARAMS, str(failed)) from failed

    async def list_resources(
        self, ctx: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        resources = [each.resource for each in self.resources.values()]
        found, following = page(resources, params and params.cursor, RESOURCES_A_PAGE)
        return types.ListResourcesResult(resources=found, next_cursor=following)

    async def list_templates(
        self, ctx: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        templates = [each.template for each in self.templates]
        found, following = page(templates, params and params.cursor, TEMPLATES_A_PAGE)
        return types.ListResourceTemplatesResult(resource_templates=found, next_cursor=following)

    async def read_resource(
        self, ctx: Context, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult | types.InputRequiredResult:
        uri = str(params.uri)
        if document := self.resources.get(uri):
            questions = Questions(ctx, params.input_responses, params.request_state)
            try:
                return types.ReadResourceResult(contents=[await document.read(self, questions)])
            except InputNeeded as needed:
                return needed.result
            except ToolFailed as failed:
                raise MCPError(INVALID_PARAMS, str(failed)) from failed
        for pattern in self.templates:
            if found := pattern.uri.fullmatch(uri):
                kind = pattern.template.mime_type
                says = types.TextResourceContents(
                    uri=uri, mime_type=kind, text=pattern.write(found)
                )
                return types.ReadResourceResult(contents=[says])
        raise MCPError(INVALID_PARAMS, "Resource not found", {"uri": uri})

    async def subscribe(self, ctx: Context, params: types.SubscribeRequestParams) -> Any:
        self.listeners.watch(ctx, str(params.uri))
        return types.EmptyResult()

    async def unsubscribe(self, ctx: Context, params: types.UnsubscribeRequestParams) -> Any:
        self.listeners.unwatch(ctx, str(params.uri))
        return types.EmptyResult()

    async def complete(
        self, ctx: Context, params: types.CompleteRequestParams
    ) -> types.CompleteResult:
        return complete(params)

    async def set_level(self, ctx: Context, params: types.SetLevelRequestParams) -> Any:
        connection_of(ctx).state["log_level"] = params.level
        return types.EmptyResult()

    async def joined(self, ctx: Context, params: types.NotificationParams) -> None:
        self.listeners.join(ctx)

    def input_schema(self, name: str) -> Mapping[str, Any] | None:
        found = self.tools.get(name)
        return found.tool.input_schema if found else None


def _mistakes(schema: dict[str, Any], arguments: dict[str, Any]) -> Iterator[Any]:
    validator: Any = jsonschema.Draft202012Validator(schema)
    return validator.iter_errors(arguments)


def build(world: World | None = None) -> Server[dict[str, Any]]:
    """The server, for any transport; give a world to look into it from a test."""
    world = world or World()
    server = _Server(
        NAME,
        version=VERSION,
        title="Everything",
        instructions="A server with every feature of the protocol, for tests.",
        website_url="https://example.com/everything",
        cache_hints={
            "tools/list": CacheHint(ttl_ms=60_000, scope="public"),
            "prompts/list": CacheHint(ttl_ms=30_000, scope="public"),
            "resources/list": CacheHint(ttl_ms=10_000, scope="private"),
            "resources/templates/list": CacheHint(ttl_ms=10_000, scope="public"),
            "resources/read": CacheHint(ttl_ms=1_000, scope="private"),
            "server/discover": CacheHint(ttl_ms=60_000, scope="public"),
        },
        get_tool_input_schema=world.input_schema,
        on_list_tools=world.list_tools,
        on_call_tool=world.call_tool,
        on_list_prompts=world.list_prompts,
        on_get_prompt=world.get_prompt,
        on_list_resources=world.list_resources,
        on_list_resource_templates=world.list_templates,
        on_read_resource=world.read_resource,
        on_subscribe_resource=world.subscribe,
        on_unsubscribe_resource=world.unsubscribe,
        on_subscriptions_listen=ListenHandler(world.listeners.bus),
        on_completion=world.complete,
    )
    # As constructor arguments these warn of their deprecation, which our tests take for an error.
    server.add_request_handler("logging/setLevel", types.SetLevelRequestParams, world.set_level)
    server.add_notification_handler(
        "notifications/initialized", types.NotificationParams, world.joined
    )
    server.middleware.append(add_unknown_fields)
    server.middleware.append(
        RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=NAME)
    )
    return server
