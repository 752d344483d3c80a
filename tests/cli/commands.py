"""Runs `thv config` in this process and keeps what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thv.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


class Command:
    """`thv config` with a config file in the test's own HOME."""

    def __init__(self, capfd: pytest.CaptureFixture[str], path: Path) -> None:
        self.capfd = capfd
        self.path = path

    def __call__(self, *words: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr."""
        self.capfd.readouterr()
        code = main(["config", *words])
        out, err = self.capfd.readouterr()
        return code, out, err

    def write(self, text: str) -> None:
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_bytes(text.encode())
