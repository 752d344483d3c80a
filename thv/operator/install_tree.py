"""Copies thv's tree into the volume from which a wrapped server's container runs it.

Run as `python -m thv.operator.install_tree SOURCE TARGET [--grpc]` by an init container. Promises: never touches the
target folder itself, which belongs to root in an `emptyDir` while this runs as another user; copies what a wrapped
stdio server uses and nothing else; may be run again over its own result. Uses the standard library alone: thv's image
has no other program than its Python.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import Final

PACKAGE: Final = "thv"
EXTRAS: Final = ("http", "prometheus")
"""What serves a wrapped server: streams over HTTP, and `/metrics`. gRPC only where this server's telemetry uses it."""

GRPC: Final = "--grpc"
"""The option that brings the extra `grpc` along."""

NEVER_USED: Final = frozenset({"typer", "rich", "httpx"})
"""Requirements of thv itself for what a wrapped server never does: help for people, remote servers."""

UNUSED_NAMES: Final = frozenset({"__pycache__", "test", "tests", "pip", "ensurepip", "idlelib", "tkinter", "unittest"})
UNUSED_SUFFIXES: Final = (".a", ".pyi", ".pxd", ".pyx", ".c", ".h", ".exe")

KEEPS_SOURCE: Final = PACKAGE
"""The package whose sources are copied as well: the demo server is started by its path."""

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_EXTRAS_OF = re.compile(r"\[([^\]]+)\]")
_EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)["']""")


def needed_distributions(site: Path, extras: frozenset[str]) -> set[str]:
    """The normalised names of what thv with `extras` requires in `site`, transitively, but for `NEVER_USED`."""
    there = _distributions(site)
    found: set[str] = set()
    todo = [(PACKAGE, extras)]
    while todo:
        name, wanted = todo.pop()
        found.add(name)
        # What is not there is for another system or an older Python.
        for requirement in (there[name].requires or ()) if name in there else ():
            words, _, marker = requirement.partition(";")
            extra, match = _EXTRA.search(marker), _NAME.match(words)
            if match is None or (extra and extra[1] not in wanted):
                continue
            below = _normal(match[0])
            if below not in NEVER_USED and below not in found:
                inner = _EXTRAS_OF.search(words)
                todo.append((below, frozenset(inner[1].replace(" ", "").split(",")) if inner else frozenset()))
    return found


def unneeded_files(site: Path, extras: frozenset[str]) -> set[Path]:
    """The files in `site` that belong to distributions which are not needed, as paths relative to it."""
    needed = needed_distributions(site, extras)
    kept: set[Path] = set()
    dropped: set[Path] = set()
    for name, distribution in _distributions(site).items():
        files = {Path(str(file)) for file in distribution.files or ()}
        (kept if name in needed else dropped).update(files)
    return dropped - kept


def _distributions(site: Path) -> dict[str, metadata.Distribution]:
    return {_normal(each.metadata["Name"]): each for each in metadata.distributions(path=[str(site)])}


def install(source: Path, target: Path, extras: frozenset[str]) -> None:
    """Copy what is needed of the tree at `source` into the existing folder `target`.

    Raises:
        OSError: something cannot be read or written.
    """
    sites = list(source.glob("lib/python3.*/site-packages"))
    dropped = {site / file for site in sites for file in unneeded_files(site, extras)}
    kept_source = {site / KEEPS_SOURCE for site in sites}
    for folder, folders, files in os.walk(source):
        here = Path(folder)
        folders[:] = [name for name in folders if name not in UNUSED_NAMES and not (here / name).is_symlink()]
        there = target / here.relative_to(source)
        entries = [here / name for name in (*files, *(e.name for e in os.scandir(here) if _links_to_folder(e)))]
        wanted = [path for path in entries if path not in dropped and not path.name.endswith(UNUSED_SUFFIXES)]
        if wanted and here != source:
            there.mkdir(parents=True, exist_ok=True)
        for path in wanted:
            compiled = _compiled(path)
            if compiled is not None and not any(root in path.parents for root in kept_source):
                _copy(compiled, there / f"{path.stem}.pyc")
            else:
                _copy(path, there / path.name)
                if compiled is not None:
                    (there / "__pycache__").mkdir(exist_ok=True)
                    _copy(compiled, there / "__pycache__" / compiled.name)


def _compiled(path: Path) -> Path | None:
    """The compiled form of a module, which is all that its import needs: half the size of both, and no slower start."""
    if path.suffix != ".py":
        return None
    compiled = path.parent / "__pycache__" / f"{path.stem}.{sys.implementation.cache_tag}.pyc"
    return compiled if compiled.exists() else None


def _copy(path: Path, to: Path) -> None:
    if path.is_symlink():
        to.unlink(missing_ok=True)
        to.symlink_to(path.readlink())
        return
    shutil.copyfile(path, to)
    to.chmod(path.stat().st_mode & 0o777)


def _links_to_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() and entry.is_dir()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main(words: list[str]) -> int:
    """`SOURCE TARGET [--grpc]`."""
    source, target, *options = words
    try:
        install(Path(source), Path(target), frozenset((*EXTRAS, "grpc") if GRPC in options else EXTRAS))
    except OSError as error:
        print(f"thv: cannot copy {source} to {target}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
