"""A loopback stand-in for the analytics endpoint: the tests' TLS sink, run as a process of its own.

It is what thv's whole pipeline, encoder and TLS included, is measured against; what arrived is read from its log.
"""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

SINK = Path(__file__).resolve().parent.parent.parent / "tests" / "sink.py"


@dataclass
class Endpoint:
    """A running sink. Use it as a context manager."""

    workspace: Path
    url: str = ""

    def __enter__(self) -> Self:
        self.log = self.workspace / "requests.jsonl"
        self.authority = self.workspace / "authorities.pem"
        self._process = subprocess.Popen(
            [sys.executable, str(SINK), "--log", str(self.log)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        try:
            announced = json.loads(self._process.stdout.readline() if self._process.stdout else "")
        except ValueError:
            self.__exit__()
            raise SystemExit(f"{SINK} did not start: are the test dependencies installed?") from None
        self.url = announced["endpoint"]
        self.authority.write_bytes(_default_authorities() + Path(announced["ca"]).read_bytes())
        return self

    def __exit__(self, *_exception: object) -> None:
        self._process.communicate()  # closes its stdin, which ends it

    def requests(self) -> list[Mapping[str, int]]:
        """What arrived so far: the outcome counts of each request."""
        if not self.log.exists():
            return []
        lines = self.log.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line)["counts"] for line in lines if line.endswith("\n")]

    def outcomes(self) -> Counter[str]:
        """The sum of all that arrived."""
        total: Counter[str] = Counter()
        for counts in self.requests():
            total.update(counts)
        return total


def _default_authorities() -> bytes:
    """The roots that the real pipeline loads, so that they weigh in the memory that is measured."""
    file = Path(ssl.get_default_verify_paths().openssl_cafile)
    return file.read_bytes() if file.is_file() else b""
