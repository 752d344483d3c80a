"""A frozen value is what it was made with, and nothing else."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from thv.core.frozen import Frozen


class Point(Frozen):
    x: int
    y: int = 2


class Named(Point):
    name: str = ""


def test_fields_are_given_by_place_or_by_name_and_may_have_defaults() -> None:
    assert (Point(1).x, Point(1).y) == (1, 2)
    assert Point(x=1, y=5) == Point(1, 5)
    assert Named(1, 2, "a") == Named(name="a", x=1)


@pytest.mark.parametrize(("values", "named"), [((), {}), ((1, 2, 3), {}), ((1,), {"x": 1}), ((1,), {"z": 1})])
def test_a_field_that_is_missing_given_twice_or_unknown_is_refused(values: Any, named: Any) -> None:
    with pytest.raises(TypeError, match="Point"):
        Point(*values, **named)


def test_nothing_can_be_set_or_deleted() -> None:
    point: Any = Point(1)
    for name in ("x", "z"):
        with pytest.raises(AttributeError, match="Point does not change"):
            setattr(point, name, 2)
    with pytest.raises(AttributeError, match="Point does not change"):
        del point.x
    assert point == Point(1)


def test_values_are_compared_hashed_and_shown_by_their_fields() -> None:
    assert Point(1) != Point(2)
    assert Point(1) != Named(1)
    assert len({Point(1), Point(1, 2), Point(2)}) == 2
    assert repr(Point(1)) == "Point(x=1, y=2)"
    with pytest.raises(TypeError, match="unhashable"):
        hash(Named(1, 2, []))  # type: ignore[arg-type]  # a field can hold anything


def test_a_changed_copy_leaves_the_value_as_it_was() -> None:
    point = Point(1)
    assert point.replace(y=9) == Point(1, 9)
    assert point == copy.deepcopy(point) == pickle.loads(pickle.dumps(point))
    with pytest.raises(TypeError, match="Point"):
        point.replace(z=1)
