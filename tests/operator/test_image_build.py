"""The image, built from the Dockerfile by a real podman, does what the operator's pods ask of it.

Runs where THV_TEST_IMAGE_BUILD is set, as `.ci/run` does once: it takes minutes, root, podman and debootstrap. The base
image is made here, since no registry need be reachable.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from thv.operator.names import TREE, TREE_PYTHON
from thv.operator.pod import NOBODY, TREE_MOUNT

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SESSION = (ROOT / "examples" / "session.jsonl").read_text()

NEEDED = ("podman", "debootstrap", "runc")
MISSING = [program for program in NEEDED if shutil.which(program) is None]

VERSION = "{}.{}".format(*sys.version_info[:2])
BASE = f"docker.io/library/python:{VERSION}-slim-bookworm"
IMAGE, SERVER_IMAGE = "localhost/thv:test", "localhost/empty:test"

MOST_IMAGE_MB, MOST_TREE_MB = 120, 60

pytestmark = [
    pytest.mark.slow,
    pytest.mark.registry,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(not os.environ.get("THV_TEST_IMAGE_BUILD"), reason="THV_TEST_IMAGE_BUILD is not set"),
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="debootstrap needs root"),
]

# Without CAP_SYS_RESOURCE podman's own limits cannot be set; runc needs no cgroup version 2.
CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
"""


@pytest.fixture
def podman_folder() -> Iterator[Path]:
    """A folder for podman's own settings and for what is mounted, open to every user."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    (folder / "containers.conf").write_text(CONTAINERS_CONF)
    yield folder
    shutil.rmtree(folder)


class Podman:
    """podman with settings of its own."""

    def __init__(self, folder: Path) -> None:
        self._environ = {**os.environ, "CONTAINERS_CONF": str(folder / "containers.conf")}

    def __call__(self, *words: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["podman", *words], env=self._environ, input=stdin, capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, (
            f"podman {' '.join(words)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
        return done

    def make_base(self) -> None:
        if self("image", "exists", BASE, check=False).returncode != 0:
            command = [str(ROOT / ".ci" / "base-image"), sys.executable, BASE]
            subprocess.run(command, env=self._environ, check=True)

    def run_thv(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run the image as a pod does: a root that cannot be written, and here no network either."""
        options = ("--rm", "-i", "--read-only", "--network", "none", "-e", "DO_NOT_TRACK=1")
        return self("run", *options, IMAGE, *words, stdin=stdin)


def megabytes(folder: Path) -> float:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()) / 1e6


def test_the_image_is_built_runs_and_installs_itself_into_a_pods_volume(podman_folder: Path) -> None:
    podman = Podman(podman_folder)
    podman.make_base()
    argument = f"PYTHON={VERSION}-slim-bookworm"
    words = ("--pull=never", "--network", "host", "--isolation", "chroot", "--build-arg", argument)
    podman("build", *words, "-f", str(ROOT / "deploy" / "docker" / "Dockerfile"), "-t", IMAGE, str(ROOT))
    try:
        size = int(podman("image", "inspect", "--format", "{{.Size}}", IMAGE).stdout) / 1e6
        assert size <= MOST_IMAGE_MB

        assert podman.run_thv("--version").stdout.startswith("thv ")
        served = podman.run_thv("run", "demo", stdin=SESSION)
        assert served.stdout.count('"jsonrpc"') == 3
        assert "1 success, 1 error" in served.stderr
        assert podman.run_thv("mcp", "call", "demo", "add", "a=2", "b=3").stdout == "5\n"

        for number, mode in enumerate((0o777, 0o2777)):
            volume = podman_folder / f"volume-{number}"
            volume.mkdir()
            volume.chmod(mode)
            install = ("-I", "-m", "thv.operator.install_tree", TREE, TREE_MOUNT)
            mounted = (
                "--rm",
                "--read-only",
                "--network",
                "none",
                "--user",
                str(NOBODY),
                "-v",
                f"{volume}:{TREE_MOUNT}",
            )
            podman("run", *mounted, "--entrypoint", TREE_PYTHON, IMAGE, *install)
            assert megabytes(volume) <= MOST_TREE_MB

        # A server's image may hold nothing at all: the copy brings its own loader, C library and Python.
        empty = podman_folder / "empty.tar"
        subprocess.run(["tar", "-cf", str(empty), "--files-from", "/dev/null"], check=True)
        podman("import", "--quiet", str(empty), SERVER_IMAGE)
        wrapped = ("--rm", "-i", "--read-only", "--network", "none", "-e", "DO_NOT_TRACK=1", "--tmpfs", "/tmp")
        command = (TREE_PYTHON, "-I", "-m", "thv", "run", "--name", "files", "demo")
        session = podman("run", *wrapped, "-v", f"{volume}:{TREE}:ro", SERVER_IMAGE, *command, stdin=SESSION)
        assert session.stdout.count('"jsonrpc"') == 3
    finally:
        podman("rmi", "--force", IMAGE, SERVER_IMAGE, check=False)
