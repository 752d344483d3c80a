"""Where the `thv` program is that clients shall start: a path that stays good when this process is over."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from thv.clients.mark import is_thv
from thv.errors import ThvError

_IN_A_CACHE = re.compile(r"[/\\](?:archive-v\d+|environments-v\d+|builds-v\d+|pipx[/\\]\.cache)[/\\]")
"""Where `uvx` and `pipx run` put what they clean away again (uv's cache buckets; pipx's run cache)."""


def own_program() -> str:
    """The whole path of thv, as the user knows it: a link stays a link, because updates move what it leads to.

    Raises:
        ThvError: there is none, or it is in a cache.
    """
    for candidate in _candidates():
        if candidate.is_file():
            path = str(candidate.absolute())
            if _IN_A_CACHE.search(path):
                raise ThvError(f"thv runs from a cache ({path}), which is cleaned; install it: uv tool install thv")
            return path
    raise ThvError("cannot tell where thv is installed; start it by its path")


def _candidates() -> list[Path]:
    suffix = ".exe" if sys.platform == "win32" else ""
    found = []
    started = Path(sys.argv[0])
    if is_thv(str(started)):
        found += [started.with_suffix(suffix), started] if suffix else [started]
    found.append(Path(sys.executable).with_name(f"thv{suffix}"))
    on_path = shutil.which("thv")
    return [*found, *([Path(on_path)] if on_path else [])]
