"""What tests of the remote client share."""

from __future__ import annotations

import pytest

from thv.http.client import client_state


@pytest.fixture
def quick_reconnects(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken stream is asked for again after hundredths of a second."""
    monkeypatch.setattr(client_state, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(client_state, "MIN_DELAY", 0.01)
    monkeypatch.setattr(client_state, "MAX_DELAY", 0.02)
