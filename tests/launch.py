"""Runs `thv run` or `thv proxy` as the installed command does, with another analytics endpoint for the constructor.

`python tests/launch.py --endpoint URL [--ca FILE] [--interval S] [--quiet S] [--budget S] [--audit FILE] -- run ...`

Everything else is the real thing: consent comes from the real variables and the real config file, and nothing of the
product knows that it is being tested. A longer `--budget` lets a slow machine deliver its last counts; `--audit` writes
every use of a socket as a JSON line, and refuses what would leave this machine.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thv.cli.run import run
from thv.cli.run_options import parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from thv.analytics.pipeline import UsageAnalytics


NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.bind")


def guard(path: str) -> None:
    """Log every attempt to reach anybody; let only loopback through."""
    log = Path(path).open("a", encoding="utf-8")  # noqa: SIM115  open as long as the process lives

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event not in NETWORK:
            return
        target = args[0] if event.startswith("socket.get") else args[1]
        log.write(json.dumps([event, str(target)]) + "\n")
        log.flush()
        host = target[0] if isinstance(target, tuple) else target
        if host not in {"127.0.0.1", "localhost"}:
            raise PermissionError(f"{event} {target!r}: not in a test")

    sys.addaudithook(hook)


def main() -> None:
    split = sys.argv.index("--")
    options = dict(zip(sys.argv[1:split:2], sys.argv[2:split:2], strict=True))
    words = sys.argv[split + 1 :]
    if words[:1] not in (["run"], ["proxy"]):
        sys.exit("launch.py runs `thv run`, and `thv proxy NAME URI`")
    if "--audit" in options:
        guard(options["--audit"])

    def make_analytics(consent: Callable[[], bool], **given: Any) -> UsageAnalytics:
        from thv.analytics.pipeline import UsageAnalytics

        if "--ca" in options:
            given["ca_file"] = options["--ca"]
        for flag, name in (("--interval", "interval"), ("--quiet", "quiet")):
            if flag in options:
                given[name] = float(options[flag])
        analytics = UsageAnalytics(consent, endpoint=options["--endpoint"], **given)
        if "--budget" in options:
            patient = partial(analytics.close, float(options["--budget"]))
            analytics.close = patient  # type: ignore[method-assign]  # this instance only
        return analytics

    if words[0] == "proxy":
        from thv.cli.proxy import proxy
        from thv.cli.proxy_options import ProxyRequest

        name, uri = words[1:]
        os._exit(proxy(ProxyRequest(name=name, target_uri=uri), make_analytics=make_analytics))
    os._exit(run(parse(words[1:]), make_analytics=make_analytics))


if __name__ == "__main__":
    main()
