"""The OpenAPI schemas of Kubernetes, as the package `kubernetes-validate` brings them: one validator a kind, kept."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from kubernetes_validate.utils import schema_contents  # type: ignore[import-untyped]  # brings no types
from referencing import Registry, Resource

KUBERNETES = "1.36"

FOLDER = f"kubernetes-json-schema/v{KUBERNETES}.0-local-strict"
"""Strict: a field that Kubernetes does not have is an error."""


@cache
def _validator(api_version: str, kind: str) -> Draft202012Validator:
    short = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
    registry: Registry[Any] = Registry()
    for contents in (_contents(f"{kind.lower()}-{short}.json"), _contents("_definitions.json")):
        registry = Resource.from_contents(contents) @ registry
    return Draft202012Validator(_contents(f"{kind.lower()}-{short}.json"), registry=registry)


@cache
def _contents(name: str) -> Any:
    return schema_contents(f"{FOLDER}/{name}", KUBERNETES)


def complaint(manifest: dict[str, Any]) -> str | None:
    """What Kubernetes would refuse the manifest for, if anything."""
    error = next(_validator(manifest["apiVersion"], manifest["kind"]).iter_errors(manifest), None)
    return None if error is None else f"{error.json_path}: {error.message}"
