"""What every test of the journal leaves behind: nothing open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.journal.journals import OPENED

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _closed_readers() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()
