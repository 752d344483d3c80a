"""Values that do not change: the base class for them, where `dataclasses` would cost 10 ms before a server is started.

Imports nothing. A subclass names its fields as a dataclass does, and type checkers take it for one.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, NoReturn, Self, dataclass_transform
else:

    def dataclass_transform(**_details: object) -> object:
        """The name at run time: `typing` is not imported."""
        return lambda cls: cls


@dataclass_transform(frozen_default=True)
class Frozen:
    """An object whose annotated fields are set once; compared, hashed and shown by them.

    Raises:
        TypeError: a field is missing, given twice, or there is none of that name.
    """

    _fields: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        own = (name for name in cls.__annotations__ if not name.startswith("_"))
        cls._fields = (*cls._fields, *own)

    def __init__(self, *values: object, **named: object) -> None:
        cls = type(self)
        given = dict(zip(cls._fields, values, strict=False))
        if len(values) > len(cls._fields) or given.keys() & named or not named.keys() <= set(cls._fields):
            raise TypeError(f"{cls.__name__} takes each of {', '.join(cls._fields)} once")
        given |= named
        for name in cls._fields:
            if name not in given:
                if not hasattr(cls, name):
                    raise TypeError(f"{cls.__name__} needs {name}")
                given[name] = getattr(cls, name)
        self.__dict__.update(given)

    def replace(self, **changes: Any) -> Self:
        """The same with other values for some fields."""
        return type(self)(**{**self.__dict__, **changes})

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} does not change: {name!r} is fixed")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} does not change: {name!r} is fixed")

    def _values(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in self._fields)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._fields)
        return f"{type(self).__name__}({shown})"
