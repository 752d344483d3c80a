"""The further members of a message that the user's telemetry and journal describe; read only where there is one.

The same promises as `messages`, of which these are extensions: strict first, then member by member, so that a wrong
type in `_meta` hides nothing else. What is kept is short text, but for `arguments` and `content`: those are raw JSON,
hold their whole line, and are read only when the user asked for arguments and results.
"""

from __future__ import annotations

from msgspec import UNSET, Raw, Struct, UnsetType, field, structs
from msgspec.json import Decoder

from thv.core.message import (
    TEXT,
    UNREADABLE,
    ClientMessage,
    ClientParams,
    LineReader,
    Result,
    ServerMessage,
    loose_client,
    loose_server,
    read_part,
)

_ABSENT = Raw()
"""Raw JSON that is not there; it is false. With `Raw | None` the strict decoder would refuse whatever is there."""

PROTOCOL_VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
CLIENT_INFO_KEY = "io.modelcontextprotocol/clientInfo"
"""Where a request says what `initialize` said before (MCP 2026-07-28, "_meta")."""


class Implementation(Struct, frozen=True, gc=False):
    """`clientInfo`."""

    name: str | None = None
    version: str | None = None


class Meta(
    Struct,
    frozen=True,
    gc=False,
    rename={"protocol_version": PROTOCOL_VERSION_KEY, "client_info": CLIENT_INFO_KEY},
):
    """`params._meta`: trace context (SEP-414, W3C Trace Context), and who asks."""

    traceparent: str | None = None
    tracestate: str | None = None
    protocol_version: str | None = None
    client_info: Implementation | None = None


class DetailedParams(ClientParams, frozen=True, gc=False, rename="camel"):
    """`params` of a request: what is called, got or read, and who asks."""

    uri: str | None = None
    protocol_version: str | None = None
    client_info: Implementation | None = None
    meta: Meta | None = field(default=None, name="_meta")


class ParamsWithoutArguments(DetailedParams, frozen=True, gc=False, rename="camel"):
    """`params` of a request of which the arguments are nobody's business."""

    @property
    def arguments(self) -> None:
        """Not read."""
        return


class ParamsWithArguments(DetailedParams, frozen=True, gc=False, rename="camel"):
    """`params` of a request, its arguments as raw JSON."""

    arguments: Raw = _ABSENT


class DetailedRequest(ClientMessage, frozen=True, gc=False):
    """A line from the client, described."""

    params: ParamsWithoutArguments | None = None


class CapturedRequest(ClientMessage, frozen=True, gc=False):
    """A line from the client, described, with the arguments of a call."""

    params: ParamsWithArguments | None = None


class DetailedResult(Result, frozen=True, gc=False, rename="camel"):
    """`result` of a response; the version is that of `initialize`."""

    protocol_version: str | None = None
    tools: Raw = _ABSENT

    @property
    def content(self) -> None:
        """Not read."""
        return


class CapturedResult(Result, frozen=True, gc=False, rename="camel"):
    """`result` of a response, its content as raw JSON."""

    protocol_version: str | None = None
    tools: Raw = _ABSENT
    content: Raw = _ABSENT


class DetailedReply(ServerMessage, frozen=True, gc=False):
    """A line from the server, described."""

    result: DetailedResult | UnsetType | None = UNSET


class CapturedReply(ServerMessage, frozen=True, gc=False):
    """A line from the server, described, with the content of a result."""

    result: CapturedResult | UnsetType | None = UNSET


def detailed_readers(*, capture: bool) -> tuple[LineReader[ClientMessage], LineReader[ServerMessage]]:
    """The readers for both directions of a session that has a request observer.

    Args:
        capture: read arguments and results, too.
    """
    if capture:
        return (
            LineReader[ClientMessage](Decoder(CapturedRequest).decode, _loose_captured_request),
            LineReader[ServerMessage](Decoder(CapturedReply).decode, _loose_captured_reply, UNREADABLE),
        )
    return (
        LineReader[ClientMessage](Decoder(DetailedRequest).decode, _loose_request),
        LineReader[ServerMessage](Decoder(DetailedReply).decode, _loose_reply, UNREADABLE),
    )


class _Envelope(Struct, frozen=True, gc=False):
    params: Raw = _ABSENT
    result: Raw = _ABSENT


class _LooseMeta(
    Struct, frozen=True, gc=False, rename={"protocol_version": PROTOCOL_VERSION_KEY, "client_info": CLIENT_INFO_KEY}
):
    traceparent: Raw = _ABSENT
    tracestate: Raw = _ABSENT
    protocol_version: Raw = _ABSENT
    client_info: Raw = _ABSENT


class _LooseDetails(Struct, frozen=True, gc=False, rename="camel"):
    name: Raw = _ABSENT
    uri: Raw = _ABSENT
    protocol_version: Raw = _ABSENT
    client_info: Raw = _ABSENT
    meta: Raw = field(default=_ABSENT, name="_meta")
    arguments: Raw = _ABSENT
    content: Raw = _ABSENT
    tools: Raw = _ABSENT


class _LooseImplementation(Struct, frozen=True, gc=False):
    name: Raw = _ABSENT
    version: Raw = _ABSENT


_ENVELOPE = Decoder(_Envelope)
_DETAILS = Decoder(_LooseDetails)
_META = Decoder(_LooseMeta)
_IMPLEMENTATION = Decoder(_LooseImplementation)


def _implementation(part: Raw) -> Implementation | None:
    seen = read_part(_IMPLEMENTATION, part)
    return None if seen is None else Implementation(read_part(TEXT, seen.name), read_part(TEXT, seen.version))


def _meta(part: Raw) -> Meta | None:
    seen = read_part(_META, part)
    return (
        None
        if seen is None
        else Meta(
            read_part(TEXT, seen.traceparent),
            read_part(TEXT, seen.tracestate),
            read_part(TEXT, seen.protocol_version),
            _implementation(seen.client_info),
        )
    )


def _loose_captured_request(line: Raw) -> CapturedRequest:
    message = loose_client(line)
    seen = read_part(_DETAILS, _ENVELOPE.decode(line).params)
    if message.params is None or seen is None:
        return CapturedRequest(message.id, message.method)
    return CapturedRequest(
        message.id,
        message.method,
        ParamsWithArguments(
            task_id=message.params.task_id,
            request_id=message.params.request_id,
            task=message.params.task,
            name=read_part(TEXT, seen.name),
            uri=read_part(TEXT, seen.uri),
            protocol_version=read_part(TEXT, seen.protocol_version),
            client_info=_implementation(seen.client_info),
            meta=_meta(seen.meta),
            arguments=seen.arguments,
        ),
    )


def _loose_request(line: Raw) -> DetailedRequest:
    message = _loose_captured_request(line)
    params = message.params
    if params is None:
        return DetailedRequest(message.id, message.method)
    members = structs.asdict(params)
    del members["arguments"]
    return DetailedRequest(message.id, message.method, ParamsWithoutArguments(**members))


def _loose_captured_reply(line: Raw) -> CapturedReply:
    message = loose_server(line)
    result: CapturedResult | UnsetType | None = None
    if message.result is UNSET:
        result = UNSET
    elif message.result:
        seen = _DETAILS.decode(_ENVELOPE.decode(line).result)
        result = CapturedResult(
            **structs.asdict(message.result),
            protocol_version=read_part(TEXT, seen.protocol_version),
            content=seen.content,
            tools=seen.tools,
        )
    return CapturedReply(message.id, message.method, result, message.error, message.params)


def _loose_reply(line: Raw) -> DetailedReply:
    message = _loose_captured_reply(line)
    result: DetailedResult | UnsetType | None = None
    if message.result is UNSET:
        result = UNSET
    elif message.result:
        members = structs.asdict(message.result)
        del members["content"]
        result = DetailedResult(**members)
    return DetailedReply(message.id, message.method, result, message.error, message.params)
