"""What earlier tests left is cleared away as a whole."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from tests.garbage import collect_all

if TYPE_CHECKING:
    from collections.abc import Iterator


class Circle:
    """Holds a generator that holds it, and makes something as it is closed."""

    def __init__(self) -> None:
        self.generator = self._generate()
        next(self.generator)

    def _generate(self) -> Iterator[int]:
        try:
            yield 1
        finally:
            self.left = [self]  # made while it is being freed


def test_a_generator_in_a_circle_is_freed_too() -> None:
    Circle()
    collect_all()
    assert not [each for each in gc.get_objects() if isinstance(each, Circle)]
