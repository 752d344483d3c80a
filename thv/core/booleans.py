"""The one table of words that mean yes or no, for variables, flags and the config file. Imports nothing."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

BOOLEANS: Final = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}
"""In lower case. YAML 1.1 and 1.2 disagree on some of these; people do not."""
