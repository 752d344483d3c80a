"""Imports msgspec without `typing_extensions`, which it prefers to `typing` where it is installed and does not need.

That module costs 5 MiB on Python 3.11 and 1.5 on later ones, in every process that relays. Import this one before the
first that imports msgspec; afterwards `typing_extensions` can be imported as ever.
"""

from __future__ import annotations

import sys

NAME = "typing_extensions"

if NAME in sys.modules or "msgspec" in sys.modules:
    import msgspec
else:
    sys.modules[NAME] = None  # type: ignore[assignment]  # what makes an import fail (Python's "The import system", 5.3.1)
    try:
        import msgspec  # noqa: F401  loaded for its later importers
    finally:
        del sys.modules[NAME]
