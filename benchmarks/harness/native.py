"""Compiles the C server and the C driver, so that neither end of a measured relay is the slow one.

Nothing compiled is kept: the programs go into the benchmark's own temporary directory.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Programs:
    """The compiled helpers."""

    server: Path
    """Answers JSON-RPC on stdio; see `servers/echo_server.c`."""
    driver: Path
    """Measures through two descriptors; see `drivers/driver.c`."""


def compiled(directory: Path) -> Programs:
    """Compiles both into `directory`. Ends the program if there is no compiler."""
    programs = Programs(server=directory / "echo_server", driver=directory / "driver")
    compile_c(SOURCES / "servers" / "echo_server.c", programs.server)
    compile_c(SOURCES / "drivers" / "driver.c", programs.driver)
    return programs


def compile_c(source: Path, program: Path) -> None:
    """Compiles one program; `$CC` names another compiler than `cc`. Ends the benchmark if there is none."""
    compiler = shutil.which(os.environ.get("CC") or "cc")
    if compiler is None:
        raise SystemExit("benchmarks need a C compiler: install one as `cc`, or name it in $CC")
    flags = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread")
    subprocess.run([compiler, *flags, "-o", str(program), str(source)], check=True)
