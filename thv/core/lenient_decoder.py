"""Decodes a message member by member: what has the wrong type is left out, and hides nothing else."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar, Union, get_args

from msgspec import Raw, Struct, UnsetType, defstruct
from msgspec.json import Decoder
from msgspec.structs import fields

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
Model = TypeVar("Model", bound=Struct)

_NUMBER: Final = re.compile(rb"-?[0-9][0-9.eE+-]*+")
_NULL: Final = Raw(b"null")
_ABSENT: Final = Raw()
_ID: Decoder[int | float | str] = Decoder(int | float | str)


def decode_leniently(model: type[Model], part: Raw) -> Model:
    """What can be read of an object that the strict decoder refused, as its model."""
    found: Model | None = _decoder_of(model).read(part)
    return model() if found is None else found


def _read_part(decoder: Decoder[T], part: Raw) -> T | None:
    """The part as the decoder's type, or None when it is null or of another type."""
    try:
        return decoder.decode(part)
    except (ValueError, RecursionError):
        return None


class _LenientDecoder:
    """Reads an object member by member: what has the wrong type is left out, and hides nothing else."""

    def __init__(self, model: type[Struct]) -> None:
        members = fields(model)
        names = {member.name: member.encode_name for member in members}
        raw = defstruct("Raw" + model.__name__, [(name, Raw, _ABSENT) for name in names], rename=names, gc=False)
        self._model = model
        self._members: Decoder[Any] = Decoder(raw)
        self._readers = {member.name: _reader(member.name, member.type) for member in members}

    def read(self, part: Raw) -> Any:
        """The object, or None if it is none."""
        seen = _read_part(self._members, part)
        if seen is None:
            return None
        parts = {name: getattr(seen, name) for name in self._readers}
        return self._model(**{name: self._readers[name](each) for name, each in parts.items() if each})


def _reader(name: str, kind: Any) -> Callable[[Raw], Any]:
    """What reads one member."""
    kinds = [each for each in get_args(kind) if each not in {type(None), UnsetType}]
    if kind is Raw:
        return lambda part: part
    if name == "error":
        # Whatever is there is an error.
        return lambda part: None if part == _NULL else _decoder_of(kinds[0]).read(part) or kinds[0]()
    if len(kinds) == 1 and issubclass(kinds[0], Struct):
        return lambda part: _decoder_of(kinds[0]).read(part)
    if kinds == [int, float, str]:
        return _read_id
    decoder = Decoder(Union[tuple(kinds)])  # noqa: UP007  a union of a list that is known at run time only
    if name == "method":
        # A method that is no string still makes it a request or a notification: of an unknown method.
        return lambda part: None if part == _NULL else _read_part(decoder, part) or ""
    return lambda part: _read_part(decoder, part)


def _read_id(part: Raw) -> int | float | str | None:
    id_ = _read_part(_ID, part)
    if id_ is None and _NUMBER.fullmatch(part):
        return float("inf")  # out of range, and still an id
    return id_


@cache
def _decoder_of(model: type[Struct]) -> _LenientDecoder:
    return _LenientDecoder(model)
