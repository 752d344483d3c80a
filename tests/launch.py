"""Runs a verb of thv as the installed command does, with another analytics endpoint for the constructor.

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
    from collections.abc import Callable, Sequence

    from thv.analytics.pipeline import UsageAnalytics
    from thv.instrumentation.instrumentation import MakeAnalytics
    from thv.mcp_client.process_connection import ProcessConnection


NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.bind")


def guard(path: str) -> None:
    """Log every attempt to reach anybody; let only loopback through."""
    log = Path(path).open("a", encoding="utf-8")  # noqa: SIM115  open as long as the process lives

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event not in NETWORK:
            return
        target = args[0] if event.startswith("socket.get") else args[1]
        target = target.decode() if isinstance(target, bytes) else target
        log.write(json.dumps([event, str(target)]) + "\n")
        log.flush()
        host = target[0] if isinstance(target, tuple) else target
        if host not in {"127.0.0.1", "localhost"}:
            raise PermissionError(f"{event} {target!r}: not in a test")

    sys.addaudithook(hook)


def relayed_here(options: list[str]) -> None:
    """Let `thv mcp` start its relay through this launcher, too."""
    from thv.cli import mcp_session
    from thv.mcp_client.process_connection import ProcessConnection

    def start_here(executable: str, argv: Sequence[str]) -> ProcessConnection:
        words = argv[list(argv).index("thv.cli.mcp_relay") + 1 :]
        return ProcessConnection(executable, [executable, __file__, *options, "--", "run", *words])

    vars(mcp_session)["ProcessConnection"] = start_here


def main() -> None:
    split = sys.argv.index("--")
    options = dict(zip(sys.argv[1:split:2], sys.argv[2:split:2], strict=True))
    words = sys.argv[split + 1 :]
    if words[:1] not in (["run"], ["proxy"], ["mcp"], ["attach"]):
        sys.exit("launch.py runs `thv run`, `proxy`, `mcp` and `attach`")
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

    os._exit(start(words, sys.argv[1:split], make_analytics))


def start(words: list[str], options: list[str], make_analytics: MakeAnalytics) -> int:
    """Run the verb; returns its exit code."""
    if words[0] == "proxy":
        from thv.cli.proxy import proxy
        from thv.cli.proxy_options import parse_proxy

        return proxy(parse_proxy(words[1:]), make_analytics=make_analytics)
    if words[0] == "attach":
        from thv.cli.attach import attach

        name, folder = words[1:]
        return attach(
            name,
            namespace="team-a",
            pod="files-0",
            container="mcp",
            proxy_port="0",
            host="127.0.0.1",
            allowed_origins=(),
            credentials=folder,
            debug=False,
            make_analytics=make_analytics,
        )
    if words[0] == "mcp":
        relayed_here(options)
        from thv.__main__ import main as thv_main

        return thv_main(words)
    return run(parse(words[1:]), make_analytics=make_analytics)


if __name__ == "__main__":
    main()
