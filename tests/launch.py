"""Runs `thv run` as the installed command does, with another analytics endpoint handed to the constructor.

`python tests/launch.py --endpoint URL [--ca FILE] [--interval S] [--quiet S] [--budget S] -- run [thv arguments...]`

Everything else is the real thing: consent comes from the real variables and the real config file, and nothing of the
product knows that it is being tested. A longer `--budget` lets a slow machine deliver its last counts.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from thv.cli.run import run
from thv.cli.run_options import parse

if TYPE_CHECKING:
    from thv.analytics.pipeline import UsageAnalytics


def main() -> None:
    split = sys.argv.index("--")
    options = dict(zip(sys.argv[1:split:2], sys.argv[2:split:2], strict=True))
    words = sys.argv[split + 1 :]
    if words[:1] != ["run"]:
        sys.exit("launch.py runs `thv run` only")

    def make_analytics(**given: Any) -> UsageAnalytics:
        import ssl

        from thv.analytics.pipeline import UsageAnalytics

        if "--ca" in options:
            given["ssl_context"] = ssl.create_default_context(cafile=options["--ca"])
        for flag, name in (("--interval", "interval"), ("--quiet", "quiet")):
            if flag in options:
                given[name] = float(options[flag])
        analytics = UsageAnalytics(endpoint=options["--endpoint"], **given)
        if "--budget" in options:
            close, budget = analytics.close, float(options["--budget"])
            analytics.close = lambda: close(budget)  # type: ignore[method-assign,assignment]  this instance only
        return analytics

    os._exit(run(parse(words[1:]), make_analytics=make_analytics))


if __name__ == "__main__":
    main()
