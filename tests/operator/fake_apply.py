"""Server-side apply and merge patches, as far as the operator's objects go: who owns which field, and who wins."""

from __future__ import annotations

import copy
from typing import Any

LIST_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "ownerReferences": ("uid",),
    "imagePullSecrets": ("name",),
    "conditions": ("type",),
}
"""Lists that are maps by these keys; ports differ by where they stand. All other lists are one value (atomic)."""

Path = tuple[Any, ...]
Leaves = dict[Path, Any]


def keys_of(path: Path) -> tuple[str, ...] | None:
    name = path[-1]
    if name == "ports":
        return (
            ("containerPort", "protocol") if "containers" in path or "initContainers" in path else ("port", "protocol")
        )
    return LIST_KEYS.get(name)


def leaves(value: Any, path: Path = ()) -> Leaves:
    """Every value that can be owned, by its path; an entry of a list that is a map is named by its keys."""
    if isinstance(value, dict) and value:
        return {deep: leaf for name, below in value.items() for deep, leaf in leaves(below, (*path, name)).items()}
    if isinstance(value, list) and path and keys_of(path):
        found: Leaves = {}
        for item in value:
            name = tuple((key, item.get(key)) for key in keys_of(path) or ())
            if (*path, name) in {deep[: len(path) + 1] for deep in found}:
                raise ValueError(f"duplicate entries for key {name} in {'.'.join(map(str, path))}")
            found |= leaves(item, (*path, name))
        return found
    return {path: value} if path else {}


def built(found: Leaves) -> Any:
    """The object that `leaves` took apart; entries of lists in the order of their first leaf."""
    root: dict[Any, Any] = {}
    for path, value in found.items():
        place = root
        for step in path[:-1]:
            inner = place.setdefault(step, {})
            if not isinstance(inner, dict):
                inner = place[step] = {}
            place = inner
        place.setdefault(path[-1], copy.deepcopy(value))
    return _listed(root)


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value and all(isinstance(name, tuple) for name in value):
        return [_listed(item) for item in value.values()]
    return {name: _listed(item) for name, item in value.items()}


def applied(
    current: dict[str, Any], owners: dict[str, set[Path]], wanted: dict[str, Any], manager: str, *, force: bool
) -> tuple[dict[str, Any], list[str]]:
    """The object after `manager` applied `wanted`, and the conflicts that hindered it. Updates `owners`."""
    now, wish = leaves(current), leaves(wanted)
    conflicts = [
        f"conflict with {other!r}: .{'.'.join(map(str, path))}"
        for other, paths in owners.items()
        if other != manager
        for path in paths & wish.keys()
        if now.get(path) != wish[path]
    ]
    if conflicts and not force:
        return current, conflicts
    others: set[Path] = set().union(*(paths for other, paths in owners.items() if other != manager))
    for path in owners.get(manager, set()) - wish.keys() - others:
        now.pop(path, None)
    for path, value in wish.items():
        for stale in [deep for deep in now if deep != path and deep[: len(path)] == path]:
            if value not in ({}, []):
                del now[stale]
        now[path] = value
    for other, paths in owners.items():
        if other != manager:
            paths -= {path for path in wish if now.get(path) == wish[path] and path in paths and conflicts}
    owners[manager] = set(wish)
    return built(now), []


def merged(current: Any, patch: Any) -> Any:
    """JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(current) if isinstance(current, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result
