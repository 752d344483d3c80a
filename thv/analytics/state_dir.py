"""Where usage analytics keep what they remember on this machine: that the notice was shown, and the history.

Only names the place. Nothing that is kept there is ever sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def user_state_dir() -> Path:
    """The user's state directory for `toolhive`, whether or not it exists.

    Raises RuntimeError or OSError where the system cannot tell.
    """
    from platformdirs import user_state_path

    return user_state_path("toolhive", appauthor=False)
