"""The server that the official conformance suite wants to test: its tools, prompts and resources, by the names it uses.

    python conformance_server.py          on stdio
    python conformance_server.py PORT     over streamable HTTP

Made with the official Python SDK, so that what is compared is the way to the server, not the server.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import warnings
from base64 import b64decode
from typing import Annotated, Any

from mcp.server.mcpserver import Context, MCPServer, RequestStateSecurity
from mcp.server.mcpserver.prompts.base import Prompt, UserMessage
from mcp.server.streamable_http import EventMessage, EventStore
from mcp.shared.exceptions import MCPError
from mcp.types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    AudioContent,
    Completion,
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    EmbeddedResource,
    EmptyResult,
    ImageContent,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    TextResourceContents,
    UnsubscribeRequestParams,
)
from pydantic import BaseModel, Field

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SILENCE = "UklGRiQAAABXQVZFZm10IBAAAAABAAEARKwAAIhYAQACABAAZGF0YQAAAAA="

server = MCPServer(
    name="conformance",
    version="1",
    request_state_security=RequestStateSecurity(keys=[b"a key of 32 bytes is long enough"]),
)


def tool(function: Any) -> Any:
    """A tool of the function's name; the suite wants a description, too."""
    return server.tool(description=function.__name__.replace("_", " "))(function)


def prompt(function: Any) -> Any:
    return server.prompt(description=function.__name__.replace("_", " "))(function)


def text_resource(uri: str, text: str, mime_type: str = "text/plain") -> EmbeddedResource:
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type=mime_type, text=text))


def image() -> ImageContent:
    return ImageContent(type="image", data=PIXEL, mime_type="image/png")


def text(words: str) -> TextContent:
    return TextContent(type="text", text=words)


# What tools answer.


@tool
def test_simple_text() -> str:
    return "This is a simple text response for testing."


@tool
def test_image_content() -> list[ImageContent]:
    return [image()]


@tool
def test_audio_content() -> list[AudioContent]:
    return [AudioContent(type="audio", data=SILENCE, mime_type="audio/wav")]


@tool
def test_embedded_resource() -> list[EmbeddedResource]:
    return [text_resource("test://embedded-resource", "This is an embedded resource content.")]


@tool
def test_multiple_content_types() -> list[TextContent | ImageContent | EmbeddedResource]:
    inner = text_resource("test://mixed-content-resource", '{"test":"data","value":123}', "application/json")
    return [text("Multiple content types test:"), image(), inner]


@tool
def test_error_handling() -> str:
    raise ValueError("This tool intentionally returns an error for testing")


@tool
def test_x_mcp_header(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})]) -> str:
    return region


# What tools do before they answer.


@tool
async def test_tool_with_logging(ctx: Context) -> str:
    for step in ("started", "processing data", "completed"):
        await ctx.info(f"Tool execution {step}")
        await asyncio.sleep(0.02)
    return "logged"


@tool
async def test_tool_with_progress(ctx: Context) -> str:
    for done in (0, 50, 100):
        await ctx.report_progress(progress=done, total=100, message=f"Completed step {done} of 100")
        await asyncio.sleep(0.02)
    return "done"


@tool
async def test_reconnection(ctx: Context) -> str:
    await ctx.info("Before disconnect")
    await ctx.close_sse_stream()
    await asyncio.sleep(0.2)
    await ctx.info("After reconnect")
    return "Reconnection test completed"


@tool
async def test_sampling(prompt: str, ctx: Context) -> str:
    message = SamplingMessage(role="user", content=text(prompt))
    result = await ctx.session.create_message(messages=[message], max_tokens=100, related_request_id=ctx.request_id)
    return f"LLM response: {getattr(result.content, 'text', '')}"


class Response(BaseModel):
    response: str


class Defaults(BaseModel):
    name: str = "John Doe"
    age: int = 30
    score: float = 95.5
    status: Annotated[str, Field(json_schema_extra={"enum": ["active", "inactive", "pending"]})] = "active"
    verified: bool = True


ONE_OF = [{"const": "value1", "title": "First Option"}, {"const": "value2", "title": "Second Option"}]


class Choices(BaseModel):
    untitledSingle: Annotated[str, Field(json_schema_extra={"enum": ["option1", "option2", "option3"]})]  # noqa: N815  the suite's
    titledSingle: Annotated[str, Field(json_schema_extra={"oneOf": ONE_OF})]  # noqa: N815  as above
    legacyEnum: Annotated[  # noqa: N815  as above
        str, Field(json_schema_extra={"enum": ["opt1", "opt2"], "enumNames": ["Option One", "Option Two"]})
    ]
    untitledMulti: Annotated[  # noqa: N815  as above
        list[str], Field(json_schema_extra={"items": {"type": "string", "enum": ["option1", "option2"]}})
    ]
    titledMulti: Annotated[list[str], Field(json_schema_extra={"items": {"anyOf": ONE_OF}})]  # noqa: N815  as above


async def elicit(ctx: Context, message: str, schema: type[BaseModel]) -> str:
    result = await ctx.elicit(message=message, schema=schema)
    content = result.data.model_dump_json() if result.action == "accept" else "{}"
    return f"action={result.action}, content={content}"


@tool
async def test_elicitation(message: str, ctx: Context) -> str:
    return f"User response: {await elicit(ctx, message, Response)}"


@tool
async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
    return f"Elicitation completed: {await elicit(ctx, 'Please review', Defaults)}"


@tool
async def test_elicitation_sep1330_enums(ctx: Context) -> str:
    return f"Elicitation completed: {await elicit(ctx, 'Please choose', Choices)}"


@tool
async def test_missing_capability(ctx: Context) -> str:
    capabilities = ctx.session.client_capabilities
    if capabilities is None or capabilities.sampling is None:
        data: dict[str, Any] = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(code=MISSING_REQUIRED_CLIENT_CAPABILITY, message="sampling is required", data=data)
    return "sampling is declared"


# Several rounds (2026-07-28): what a tool wants to know before it answers.


def form(message: str, name: str, kind: str = "string") -> ElicitRequest:
    schema = {"type": "object", "properties": {name: {"type": kind}}, "required": [name]}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(words: str) -> CreateMessageRequest:
    message = SamplingMessage(role="user", content=text(words))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=50))


def answer(ctx: Context, key: str, name: str) -> Any:
    """What the user filled in."""
    given = (ctx.input_responses or {}).get(key)
    return given.content.get(name) if isinstance(given, ElicitResult) and given.content else None


@tool
async def test_input_required_result_elicitation(ctx: Context) -> str | InputRequiredResult:
    name = answer(ctx, "user_name", "name")
    if name is None:
        return InputRequiredResult(input_requests={"user_name": form("What is your name?", "name")})
    return f"Hello, {name}!"


@tool
async def test_input_required_result_sampling(ctx: Context) -> str | InputRequiredResult:
    given = (ctx.input_responses or {}).get("capital_question")
    if not isinstance(given, CreateMessageResult):
        return InputRequiredResult(input_requests={"capital_question": sample("What is the capital of France?")})
    return f"The model says: {getattr(given.content, 'text', '')}"


@tool
async def test_input_required_result_list_roots(ctx: Context) -> str | InputRequiredResult:
    given = (ctx.input_responses or {}).get("client_roots")
    if given is None:
        return InputRequiredResult(input_requests={"client_roots": ListRootsRequest()})
    return f"Roots: {given.model_dump_json()}"


@tool
async def test_input_required_result_request_state(ctx: Context) -> str | InputRequiredResult:
    if answer(ctx, "confirm", "ok") is None or ctx.request_state != "nonce":
        return InputRequiredResult(
            input_requests={"confirm": form("Please confirm", "ok", "boolean")}, request_state="nonce"
        )
    return "state-ok"


@tool
async def test_input_required_result_tampered_state(ctx: Context) -> str | InputRequiredResult:
    if ctx.request_state is None:
        return InputRequiredResult(
            input_requests={"confirm": form("Please confirm", "ok", "boolean")}, request_state="first"
        )
    return "state-ok"


@tool
async def test_input_required_result_multiple_inputs(ctx: Context) -> str | InputRequiredResult:
    wanted: dict[str, Any] = {
        "user_name": form("What is your name?", "name"),
        "greeting": sample("Say hello"),
        "client_roots": ListRootsRequest(),
    }
    if wanted.keys() <= (ctx.input_responses or {}).keys():
        return "All inputs received."
    return InputRequiredResult(input_requests=wanted, request_state="several")


@tool
async def test_input_required_result_multi_round(ctx: Context) -> str | InputRequiredResult:
    state = json.loads(ctx.request_state or "{}")
    name = state.get("name") or answer(ctx, "step1", "name")
    color = answer(ctx, "step2", "color")
    if name is None:
        return InputRequiredResult(
            input_requests={"step1": form("Step 1: What is your name?", "name")}, request_state='{"round":1}'
        )
    if color is None:
        return InputRequiredResult(
            input_requests={"step2": form("Step 2: What is your favorite color?", "color")},
            request_state=json.dumps({"round": 2, "name": name}),
        )
    return f"{name} likes {color}."


@tool
async def test_input_required_result_capabilities(ctx: Context) -> InputRequiredResult:
    capabilities = ctx.client_capabilities
    requests: dict[str, Any] = {}
    if capabilities is not None and capabilities.sampling is not None:
        requests["sample"] = sample("Say hello")
    if capabilities is not None and capabilities.elicitation is not None:
        requests["ask"] = form("What is your name?", "name")
    return InputRequiredResult(input_requests=requests, request_state="by capability")


@prompt
async def test_input_required_result_prompt(ctx: Context) -> list[UserMessage] | InputRequiredResult:
    context = answer(ctx, "user_context", "context")
    if context is None:
        return InputRequiredResult(input_requests={"user_context": form("Which context?", "context")})
    return [UserMessage(role="user", content=text(f"Use this context: {context}"))]


# Lists that change.


def short_lived() -> str:
    return "for a moment"


@tool
async def test_trigger_tool_change(ctx: Context) -> str:
    server.add_tool(short_lived)
    server.remove_tool("short_lived")
    await ctx.notify_tools_changed()
    return "changed"


@tool
async def test_trigger_prompt_change(ctx: Context) -> str:
    server.add_prompt(Prompt.from_function(short_lived))
    server.remove_prompt("short_lived")
    await ctx.notify_prompts_changed()
    return "changed"


# A schema that has to arrive as it is.


@tool
def json_schema_2020_12_tool() -> str:
    return "json_schema_2020_12_tool"


CONTACT_SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}

# The SDK has no public way to give a tool a schema of one's own.
server._tool_manager._tools["json_schema_2020_12_tool"].parameters = CONTACT_SCHEMA


# Resources and prompts.


@server.resource("test://static-text", mime_type="text/plain")
def static_text() -> str:
    return "This is the content of the static text resource."


@server.resource("test://static-binary", mime_type="image/png")
def static_binary() -> bytes:
    return b64decode(PIXEL)


@server.resource("test://template/{id}/data", mime_type="application/json")
def template(id: str) -> str:  # noqa: A002  the template's name for it
    return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


@server.resource("test://watched-resource", mime_type="text/plain")
def watched() -> str:
    return "Watched resource content"


@prompt
def test_simple_prompt() -> list[UserMessage]:
    return [UserMessage(role="user", content=text("This is a simple prompt for testing."))]


@prompt
def test_prompt_with_arguments(arg1: str, arg2: str) -> list[UserMessage]:
    return [UserMessage(role="user", content=text(f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"))]


@prompt
def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:  # noqa: N803  the suite's
    resource = text_resource(resourceUri, "Embedded resource content for testing.")
    return [
        UserMessage(role="user", content=resource),
        UserMessage(role="user", content=text("Please process the embedded resource above.")),
    ]


@prompt
def test_prompt_with_image() -> list[UserMessage]:
    return [
        UserMessage(role="user", content=image()),
        UserMessage(role="user", content=text("Please analyze the image above.")),
    ]


async def complete(_ref: Any, _argument: Any, _context: Any) -> Completion:
    return Completion(values=[], total=0, has_more=False)


server.completion()(complete)  # type: ignore[no-untyped-call]  # of the SDK


async def accept(_ctx: Any, _params: Any) -> EmptyResult:
    return EmptyResult()


for method, params in (
    ("logging/setLevel", SetLevelRequestParams),
    ("resources/subscribe", SubscribeRequestParams),
    ("resources/unsubscribe", UnsubscribeRequestParams),
):
    server._lowlevel_server.add_request_handler(method, params, accept)


class Events(EventStore):
    """Every event, for streams that are resumed."""

    def __init__(self) -> None:
        self._events: list[tuple[str, Any]] = []

    async def store_event(self, stream_id: str, message: Any) -> str:
        self._events.append((stream_id, message))
        return str(len(self._events))

    async def replay_events_after(self, last_event_id: str, send_callback: Any) -> str | None:
        last = int(last_event_id)
        if not 0 < last <= len(self._events):
            return None
        stream = self._events[last - 1][0]
        for number, (owner, message) in enumerate(self._events[last:], last + 1):
            if owner == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


def main() -> None:
    warnings.simplefilter("ignore")  # the SDK deprecates what older revisions have
    logging.disable(logging.CRITICAL)
    if len(sys.argv) > 1:
        server.run(transport="streamable-http", port=int(sys.argv[1]), event_store=Events(), retry_interval=100)
    else:
        server.run(transport="stdio")


if __name__ == "__main__":
    main()
