"""`thv operator run`: the Kubernetes operator. Joins who consents to usage analytics to the manifests it makes.

The operator itself counts and sends nothing.
"""

from __future__ import annotations

import math
import os
import re
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from thv.cli import config
from thv.cli.extras import require
from thv.cli.help_text import Command, Group, listed
from thv.core.net.urls import is_http_url
from thv.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import FrameType

IMAGE_VARIABLE = "THV_OPERATOR_IMAGE"
"""Names thv's image where the operator runs in it: a pod cannot ask which image it is."""

NAMESPACE = re.compile(r"(?=.{1,63}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?")
"""What a namespace may be called (RFC 1123 label)."""

_HOST = (
    r"([A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*|\[[0-9a-fA-F:]+\])(:[0-9]+)?"
)
_PART = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
_TAG = r":[A-Za-z0-9_][-A-Za-z0-9_.]{0,127}"
_DIGEST = r"@[A-Za-z][A-Za-z0-9]*([-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
IMAGE = re.compile(rf"({_HOST}/)?{_PART}(/{_PART})*({_TAG})?({_DIGEST})?")
"""What an image may be called (the grammar of https://github.com/distribution/reference)."""

app = typer.Typer(
    cls=Group,
    help="Run MCP servers on Kubernetes: one MCPServer resource each.",
    epilog=listed("Examples:", [("thv operator run --all-namespaces", "in a cluster: see docs/operator.md")]),
)


@app.callback()
def operator() -> None:
    """Run MCP servers on Kubernetes: one MCPServer resource each."""


@app.command(
    "run",
    cls=Command,
    epilog=listed(
        "Examples:",
        [
            ("thv operator run --all-namespaces", ""),
            ("thv operator run --namespace team-a --usage-analytics-enabled false", ""),
        ],
    ),
)
def run(
    context: typer.Context,
    *,
    all_namespaces: Annotated[
        bool, typer.Option("--all-namespaces", help="Look after the MCPServers of the whole cluster.")
    ] = False,
    namespace: Annotated[
        list[str] | None,
        typer.Option("--namespace", metavar="NAMESPACE", help="Look after those of one namespace; repeatable."),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(
            "--thv-image", metavar="IMAGE", help=f"thv's own image, for the pods it makes; else {IMAGE_VARIABLE}."
        ),
    ] = None,
    usage_analytics_enabled: Annotated[
        Literal["true", "false"],
        typer.Option("--usage-analytics-enabled", help="false turns anonymous usage analytics off for every server."),
    ] = "true",
    allowed_origins: Annotated[
        list[str] | None,
        typer.Option(
            "--allowed-origins", metavar="ORIGIN", help="Let web pages of ORIGIN talk to the servers; repeatable."
        ),
    ] = None,
    resync: Annotated[
        float, typer.Option("--resync", metavar="SECONDS", min=1, help="How often everything is looked through.")
    ] = 120.0,
    liveness: Annotated[
        str | None,
        typer.Option("--liveness", metavar="URL", help="Serve a liveness probe, as http://0.0.0.0:8081/healthz."),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Say more on stderr.")] = False,
) -> None:
    """Run the operator until it is stopped. It needs the extra `operator`."""
    if all_namespaces == bool(namespace):
        raise UsageError("say either --all-namespaces or --namespace NAMESPACE; see thv operator run --help")
    source = "--thv-image" if image else IMAGE_VARIABLE
    image = image or os.environ.get(IMAGE_VARIABLE)
    if not image:
        raise UsageError(f"which image is thv's? say it by --thv-image or {IMAGE_VARIABLE}")
    if not IMAGE.fullmatch(image):
        raise UsageError(f"{source}: {image!r} is not the name of an image")
    for name in namespace or ():
        if not NAMESPACE.fullmatch(name):
            raise UsageError(f"--namespace: {name!r} is not the name of a namespace")
    _check(resync, liveness, allowed_origins or ())
    with _ended_by_sigterm():
        require("kopf", "the operator", "operator")
        import asyncio

        from thv.operator.controller import Run, operate
        from thv.operator.logs import log_to_stderr
        from thv.operator.pod_settings import Options

        enabled = usage_analytics_enabled == "true" and config.analytics_refused(os.environ) is None
        options = Options(image, _refusal, usage_analytics=enabled, allowed_origins=tuple(allowed_origins or ()))
        log_to_stderr(debug=debug or bool(context.find_root().params.get("debug")))
        asyncio.run(operate(Run(options, tuple(namespace or ()), resync, liveness or "")))


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """A SIGTERM ends this process until kopf has a handler of its own: process 1 of a pod would not even get it."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _check(resync: float, liveness: str | None, allowed_origins: Sequence[str]) -> None:
    """Refuse what would otherwise fail in the running operator, or in every pod that it makes.

    Raises:
        UsageError: a value cannot be used.
    """
    from urllib.parse import urlsplit

    from thv.http.host_policy import HostPolicy

    if not math.isfinite(resync):
        raise UsageError(f"--resync: '{resync}' is not a number of seconds")
    if liveness and not (is_http_url(liveness) and urlsplit(liveness).scheme == "http" and urlsplit(liveness).port):
        raise UsageError(f"--liveness: {liveness!r} is not a URL such as http://0.0.0.0:8081/healthz")
    HostPolicy("127.0.0.1", 0, allowed_origins)


def _refusal(environ: Mapping[str, str]) -> str | None:
    return config.analytics_refused(environ)
