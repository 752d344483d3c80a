"""What tests of the front share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.http.fronts import CHATTY, FrontRun

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontRun]:
    """One front for every test that leaves it as it was."""
    with FrontRun(CHATTY, tmp_path_factory.mktemp("front")) as run:
        yield run
        assert "internal error" not in run.stop()


@pytest.fixture
def session(front: FrontRun) -> Iterator[str]:
    """The id of a session that this front has for one test."""
    session = front.begin()
    yield session
    front.request("DELETE", Mcp_Session_Id=session)
