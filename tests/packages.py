"""Published servers for tests: one cache of their packages for the whole machine, filled by one process at a time."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CACHE = Path(tempfile.gettempdir()) / f"thv-tests-packages-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
"""Packages fetched once a machine: every test has a HOME of its own, so the runners' own caches are always cold."""

IN_CI = bool(os.environ.get("CI"))
"""Whether a test must fail where it would be skipped; the variable itself is removed before the first test."""


def variables() -> dict[str, str]:
    """The environment in which uvx and npx use the cache, and those runners are found that stand beside this Python."""
    CACHE.mkdir(exist_ok=True)
    return {
        "UV_CACHE_DIR": str(CACHE / "uv"),
        "npm_config_cache": str(CACHE / "npm"),
        "npm_config_update_notifier": "false",
        "DO_NOT_TRACK": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


@contextmanager
def only_one_fetches() -> Iterator[None]:
    """Let one test process at a time fetch a package: npm breaks when two fill the same cache."""
    if sys.platform == "win32":
        yield
    else:
        import fcntl

        CACHE.mkdir(exist_ok=True)
        with (CACHE / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
