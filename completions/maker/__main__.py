"""Writes the scripts into `completions/`, and the help of `thv` itself; ``--check`` only says whether they are old.

All of it is read out of the full command line, so that thv can print it without building that.
"""

from __future__ import annotations

import sys
from pathlib import Path

from completions.maker.root_help import root_help
from completions.maker.tree import build
from completions.maker.writers import scripts
from thv.cli.root_help import FILE

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Writes or checks; returns 1 if a check found an old file."""
    old = []
    texts = {f"completions/{name}": text for name, text in scripts(build()).items()}
    for name, text in (texts | {f"thv/cli/{FILE}": root_help()}).items():
        path = ROOT / name
        if not path.exists() or path.read_bytes() != text.encode():
            old.append(name)
            if "--check" not in sys.argv:
                path.write_bytes(text.encode())
    print(f"{'old' if '--check' in sys.argv else 'written'}: {', '.join(old) or 'none'}", file=sys.stderr)
    return 1 if old and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
