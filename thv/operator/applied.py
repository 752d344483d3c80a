"""What the operator has applied and the cluster still holds: a round over idle servers then asks for next to nothing.

Promises: an object that was changed or deleted is applied again as soon as its watch says so; an event that is older
than our own write is not taken for a change. Pure: it is shown writes and events, and asks nothing.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thv.operator.pod import Manifest

WORKLOADS = frozenset({"StatefulSet", "Deployment"})
"""Their status changes all the time, and with it the version; a changed spec is told by the generation."""

Key = tuple[str, str, str]
"""Kind, namespace, name. No two kinds that the operator makes share a name."""


@dataclass(frozen=True, slots=True)
class _Applied:
    digest: str
    version: str
    generation: int
    metadata: Mapping[str, Any]


class AppliedObjects:
    """Remembers each object as it was stored when it was applied."""

    def __init__(self) -> None:
        self._known: dict[Key, _Applied] = {}
        self._workloads: dict[Key, Mapping[str, Any]] = {}

    def is_current(self, manifest: Manifest) -> bool:
        """Whether this very manifest was applied, and no event has told of a change since."""
        known = self._known.get(_key(manifest))
        return known is not None and known.digest == _digest(manifest)

    def remember(self, manifest: Manifest, stored: Mapping[str, Any]) -> None:
        """`manifest` was applied; the API server answered with `stored`."""
        meta: Mapping[str, Any] = stored.get("metadata") or {}
        if manifest["kind"] in WORKLOADS:
            self._workloads[_key(manifest)] = stored
        self._known[_key(manifest)] = _Applied(
            _digest(manifest),
            str(meta.get("resourceVersion", "")),
            int(meta.get("generation", 0)),
            {name: manifest["metadata"].get(name) for name in ("labels", "annotations", "ownerReferences")},
        )

    def has_drifted(self, kind: str, body: Mapping[str, Any], *, deleted: bool) -> bool:
        """Whether an event tells of another object than was applied; then it is no longer current.

        An object that was never applied here has not drifted: its server is reconciled for other reasons.
        """
        meta: Mapping[str, Any] = body["metadata"]
        key = (kind, str(meta.get("namespace", "")), str(meta["name"]))
        if deleted:
            self._workloads.pop(key, None)
        elif kind in WORKLOADS and not _is_older(_version(body), _version(self._workloads.get(key, {}))):
            self._workloads[key] = body
        known = self._known.get(key)
        if known is None or (not deleted and self._is_as_applied(kind, meta, known)):
            return False
        del self._known[key]
        return True

    def workload(self, manifest: Manifest) -> Mapping[str, Any] | None:
        """The workload as its newest event or our own write showed it; None where neither did."""
        return self._workloads.get(_key(manifest))

    def forget(self, namespace: str, name: str) -> None:
        """Apply everything of this server again, and ask how it is."""
        self._workloads = {key: body for key, body in self._workloads.items() if key[1:] != (namespace, name)}
        self._known = {key: known for key, known in self._known.items() if key[1:] != (namespace, name)}

    @staticmethod
    def _is_as_applied(kind: str, meta: Mapping[str, Any], known: _Applied) -> bool:
        version = str(meta.get("resourceVersion", ""))
        if version == known.version or _is_older(version, known.version):
            return True
        if kind not in WORKLOADS or int(meta.get("generation", 0)) > known.generation:
            return False
        labels, notes = meta.get("labels") or {}, meta.get("annotations") or {}
        return (
            (known.metadata["labels"] or {}).items() <= labels.items()
            and (known.metadata["annotations"] or {}).items() <= notes.items()
            and all(owner in (meta.get("ownerReferences") or ()) for owner in known.metadata["ownerReferences"] or ())
        )


def _key(manifest: Manifest) -> Key:
    return manifest["kind"], manifest["metadata"]["namespace"], manifest["metadata"]["name"]


def _version(body: Mapping[str, Any]) -> str:
    return str((body.get("metadata") or {}).get("resourceVersion", ""))


def _digest(manifest: Manifest) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _is_older(version: str, than: str) -> bool:
    """Versions are growing decimal numbers (Kubernetes API concepts, "Resource versions"); else it is not known."""
    return version.isdecimal() and than.isdecimal() and int(version) < int(than)
