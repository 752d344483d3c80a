"""Writes the scripts into `completions/`; ``--check`` only says whether they are up to date."""

from __future__ import annotations

import sys
from pathlib import Path

from completions.maker.tree import build
from completions.maker.writers import scripts

FOLDER = Path(__file__).parents[1]


def main() -> int:
    """Writes or checks; returns 1 if a check found an old file."""
    old = []
    for name, text in scripts(build()).items():
        path = FOLDER / name
        if not path.exists() or path.read_bytes() != text.encode():
            old.append(name)
            if "--check" not in sys.argv:
                path.write_bytes(text.encode())
    print(f"{'old' if '--check' in sys.argv else 'written'}: {', '.join(old) or 'none'}", file=sys.stderr)
    return 1 if old and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
