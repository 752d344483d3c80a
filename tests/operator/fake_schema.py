"""What an API server makes of a CRD: defaults, pruning, structural validation and CEL rules, with their messages."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import pytest
from jsonschema import Draft202012Validator

cel = pytest.importorskip("cel_expr_python.cel", reason="the rules are evaluated by a package that Windows lacks")

RULES = "x-kubernetes-validations"


@cache
def _compiled(rule: str) -> Any:
    variables = {"self": cel.Type.DYN}
    return cel.NewEnv(variables=variables).compile(rule)


def defaulted(schema: dict[str, Any], value: Any) -> Any:
    """`value` with the defaults of the schema, parents before children, as the API server fills them in."""
    if isinstance(value, dict):
        for name, below in schema.get("properties", {}).items():
            if name not in value and "default" in below:
                value[name] = copy.deepcopy(below["default"])
            if name in value:
                defaulted(below, value[name])
        extra = schema.get("additionalProperties")
        if isinstance(extra, dict):
            for name in value.keys() - schema.get("properties", {}).keys():
                defaulted(extra, value[name])
    elif isinstance(value, list):
        for item in value:
            defaulted(schema.get("items", {}), item)
    return value


def unknown(schema: dict[str, Any], value: Any, path: str = "") -> list[str]:
    """The paths of fields that the schema does not have; an API server prunes or refuses them."""
    if isinstance(value, list):
        return [found for item in value for found in unknown(schema.get("items", {}), item, f"{path}[]")]
    if not isinstance(value, dict) or schema.get("x-kubernetes-preserve-unknown-fields"):
        return []
    if path == ".metadata":
        return []
    if isinstance(schema.get("additionalProperties"), dict):
        return []
    found = []
    for name, inner in value.items():
        below = schema.get("properties", {}).get(name)
        found += [f"{path}.{name}"] if below is None else unknown(below, inner, f"{path}.{name}")
    return found


def complaints(schema: dict[str, Any], value: Any) -> list[str]:
    """Everything an API server would refuse `value` for; defaults must be in already."""
    found = [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(value)]
    found += [f"{path}: unknown field" for path in unknown(schema, value)]
    found += _keys_of_lists(schema, value)
    # An API server evaluates rules only over what has the right shape.
    return found or _broken_rules(schema, value)


def _broken_rules(schema: dict[str, Any], value: Any) -> list[str]:
    found = []
    for rule in schema.get(RULES, ()):
        verdict = _compiled(rule["rule"]).eval(data={"self": value}).value()
        if not isinstance(verdict, bool):
            raise TypeError(f"{rule['rule']!r} gives {verdict!r}")
        if not verdict:
            found.append(rule["message"])
    return found + _below(schema, value, _broken_rules)


def _keys_of_lists(schema: dict[str, Any], value: Any) -> list[str]:
    found = []
    keys = schema.get("x-kubernetes-list-map-keys")
    if keys and isinstance(value, list):
        names = [tuple(item.get(key) for key in keys) for item in value]
        found += [f"duplicate entry {name}" for name in {name for name in names if names.count(name) > 1}]
    return found + _below(schema, value, _keys_of_lists)


def _below(schema: dict[str, Any], value: Any, visit: Any) -> list[str]:
    found: list[str] = []
    if isinstance(value, dict):
        for name, below in schema.get("properties", {}).items():
            if name in value:
                found += visit(below, value[name])
    elif isinstance(value, list):
        for item in value:
            found += visit(schema.get("items", {}), item)
    return found
