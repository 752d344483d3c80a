"""What a user's podTemplateSpec may say: nearly everything, and nothing that reaches into what is the operator's. Pure.

Promises: a template that passes has the form on which `pod` relies, whatever an older definition let through; none gets
at thv's token, its volumes or its containers. Whether Kubernetes takes the rest is for Kubernetes to say.
"""

from __future__ import annotations

from posixpath import normpath
from typing import TYPE_CHECKING, Any

from thv.operator.names import CONFIG_DIR, OUR_VOLUMES, PROXY_CONTAINER, SERVER_CONTAINER, TREE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WHERE = "spec.podTemplateSpec"

CONTAINERS = ("containers", "initContainers")

ENTRIES = {"env": ("name",), "volumeMounts": ("name", "mountPath"), "volumeDevices": ("name", "devicePath")}
"""Lists of a container, and the words that each entry must have."""

SEEN_THROUGH = ("shareProcessNamespace", "hostPID")
"""What lets one container look into the files of another, by its processes (`/proc/PID/root`)."""


def complaints(template: Mapping[str, Any], *, wraps: bool, has_token: bool) -> Iterator[str]:
    """What is wrong with a template, one sentence each.

    Args:
        template: what the user wrote.
        wraps: thv runs in the server's container.
        has_token: thv has a token in a container of its own.
    """
    malformed = list(_malformed(template))
    if malformed:
        yield from malformed
        return
    pod: Mapping[str, Any] = template.get("spec") or {}
    for volume in pod.get("volumes") or ():
        if volume["name"].startswith(OUR_VOLUMES):
            yield f"{WHERE}: the volume name {volume['name']!r} is the operator's own; take another"
    if has_token:
        for key in SEEN_THROUGH:
            if pod.get(key):
                yield f"{WHERE}.spec.{key} would let the server read thv's token; leave it out, or give a command"
    for part in CONTAINERS:
        for container in pod.get(part) or ():
            yield from _of_container(container, part, wraps=wraps)
    servers = [each for each in pod.get("containers") or () if each["name"] == SERVER_CONTAINER]
    if len(servers) > 1:
        yield f"{WHERE}: the container {SERVER_CONTAINER!r} is there twice; say everything of it in one place"


def _of_container(container: Mapping[str, Any], part: str, *, wraps: bool) -> Iterator[str]:
    name: str = container["name"]
    if name.startswith(PROXY_CONTAINER) or (part == "initContainers" and name == SERVER_CONTAINER):
        yield f"{WHERE}: the container name {name!r} is the operator's own; take another"
    for mount in container.get("volumeMounts") or ():
        if mount["name"].startswith(OUR_VOLUMES):
            yield f"{WHERE}: the volume {mount['name']!r} is thv's alone; container {name!r} cannot mount it"
        if wraps and name == SERVER_CONTAINER and _hides(mount["mountPath"]):
            yield f"{WHERE}: {mount['mountPath']} is where thv stands in container {name!r}; mount it elsewhere"


def _hides(path: str) -> bool:
    """Whether something mounted at `path` lies over what thv needs, or within."""
    mounted = normpath(path).lstrip("/") + "/"
    ours = [f"{place.lstrip('/')}/" for place in (TREE, CONFIG_DIR)]
    return any(mounted.startswith(place) or place.startswith(mounted) for place in ours)


def _malformed(template: Mapping[str, Any]) -> Iterator[str]:
    """Where the template is not what Kubernetes calls one, as far as anything of ours reads it."""
    for part in ("metadata", "spec"):
        if not isinstance(template.get(part) or {}, dict):
            yield f"{WHERE}.{part} must be an object"
            return
    for key in ("labels", "annotations"):
        if not isinstance((template.get("metadata") or {}).get(key) or {}, dict):
            yield f"{WHERE}.metadata.{key} must be an object"
    pod: Mapping[str, Any] = template.get("spec") or {}
    yield from _entries(pod, "volumes", ("name",), f"{WHERE}.spec")
    for part in CONTAINERS:
        wrong = list(_entries(pod, part, ("name",), f"{WHERE}.spec"))
        yield from wrong
        for number, container in enumerate(() if wrong else pod.get(part) or ()):
            where = f"{WHERE}.spec.{part}[{number}]"
            for key, words in ENTRIES.items():
                yield from _entries(container, key, words, where)
            yield from _entries(container, "ports", (), where)
            for key in ("securityContext", "resources"):
                if not isinstance(container.get(key) or {}, dict):
                    yield f"{where}.{key} must be an object"


def _entries(holder: Mapping[str, Any], key: str, words: tuple[str, ...], where: str) -> Iterator[str]:
    entries = holder.get(key) or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        yield f"{where}.{key} must be a list of objects"
        return
    for word in words:
        if not all(isinstance(entry.get(word), str) and entry[word] for entry in entries):
            yield f"{where}.{key}: each entry must have a {word}"
