"""The garbage collector, for tests of what is freed at once."""

from __future__ import annotations

import gc


def collect_all() -> None:
    """Free all that is garbage: what earlier tests left may not be taken for what this one leaves.

    A collection that closes a generator frees nothing of its circle if the generator makes an object as it is closed.
    """
    found_nothing = 0
    while found_nothing < 2:
        found_nothing = 0 if gc.collect() else found_nothing + 1
