"""The launch spec is a value that does not change and does not tell secrets."""

from __future__ import annotations

from typing import Any

import pytest

from thv.servers.launch_spec import LaunchSpec


def spec(**changes: Any) -> LaunchSpec:
    values: dict[str, Any] = {
        "name": "s",
        "executable": "/bin/cmd",
        "argv": ("cmd", "a"),
        "env": {"TOKEN": "hunter2"},
    } | changes
    return LaunchSpec(**values)


def test_specs_are_equal_when_all_they_hold_is_equal() -> None:
    assert spec() == spec()
    assert spec() != "s"


@pytest.mark.parametrize(
    "change",
    [
        {"name": "t"},
        {"executable": "/cmd"},
        {"argv": ("cmd",)},
        {"env": {}},
        {"cwd": "/"},
        {"is_demo": True},
        {"runner": "uvx"},
    ],
)
def test_specs_differ_when_anything_differs(change: dict[str, Any]) -> None:
    assert spec() != spec(**change)


def test_a_spec_cannot_be_changed() -> None:
    value = spec()
    with pytest.raises(AttributeError, match="does not change"):
        value.name = "other"  # type: ignore[misc]  # refused at run time, too
    with pytest.raises(AttributeError, match="does not change"):
        del value.argv
    assert value == spec()


def test_the_repr_shows_no_value_of_the_environment() -> None:
    assert "hunter2" not in repr(spec())
    assert "<1 variables>" in repr(spec())
