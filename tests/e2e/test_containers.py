"""A server that is a container ends with its session, with a real podman."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.e2e.harness import PATIENCE, Run, behind_thv, receive, until
from thv.process.shutdown import EOF_GRACE, TERM_GRACE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IMAGE = "localhost/thv-test:1"

STUBBORN = "trap '' INT TERM; echo ready; while :; do sleep 1000; done"
"""Ignores everything that a client may send."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="containers are Linux's")


@pytest.fixture(scope="session")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The settings with which podman runs here; the image `IMAGE` is there, and holds a shell."""
    if shutil.which("podman") is None:
        pytest.skip("podman is not installed")
    directory = tmp_path_factory.mktemp("podman")
    settings = directory / "containers.conf"
    # Without CAP_SYS_RESOURCE limits cannot be raised; crun, the default, needs more of the system than runc.
    runtime = '\n[engine]\nruntime = "runc"' if shutil.which("runc") else ""
    settings.write_text(f'[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]{runtime}\n')
    archive = directory / "root.tar"
    with tarfile.open(archive, "w", dereference=True) as tar:
        for path in sorted({path for name in ("sh", "sleep", "cat", "env") for path in with_libraries(name)}):
            tar.add(path, path.lstrip("/"))
    environ = {**os.environ, "CONTAINERS_CONF": str(settings)}
    for command in (["import", str(archive), IMAGE], ["run", "--rm", "--network=none", IMAGE, "sh", "-c", "exit 0"]):
        done = subprocess.run(["podman", *command], env=environ, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"podman cannot run here: {done.stderr.strip().splitlines()[-1]}")
    yield str(settings)
    subprocess.run(["podman", "rmi", "-f", IMAGE], env=environ, capture_output=True, check=False)


def with_libraries(name: str) -> list[str]:
    """The files of a program of this machine, by the paths under which it looks for them."""
    program = shutil.which(name)
    assert program is not None
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return [f"/bin/{name}", *(word for word in listed.split() if word.startswith("/"))]


class Container:
    """A name for a container, and what becomes of it."""

    def __init__(self, settings: str) -> None:
        self.name = f"thv-test-{uuid.uuid4().hex}"
        self.env = {"CONTAINERS_CONF": settings}

    def command(self, *options: str) -> list[str]:
        """Runs a container of that name."""
        return ["podman", "run", "-i", "--name", self.name, "--network=none", *options, IMAGE]

    def state(self) -> str:
        """Empty once it was removed."""
        done = subprocess.run(
            ["podman", "ps", "-a", "--filter", f"name={self.name}", "--format", "json"],
            env={**os.environ, **self.env},
            capture_output=True,
            check=True,
            timeout=PATIENCE,
        )
        found = json.loads(done.stdout)
        return str(found[0]["State"]) if found else ""

    def is_gone(self) -> bool:
        return not self.state()


@pytest.fixture
def container(podman: str) -> Iterator[Container]:
    one = Container(podman)
    yield one
    subprocess.run(
        ["podman", "rm", "-f", "-t", "0", one.name], env={**os.environ, **one.env}, capture_output=True, check=False
    )


def test_kill_9_of_thv_ends_the_container(tmp_path: Path, container: Container) -> None:
    command = behind_thv([*container.command("--rm"), "sh", "-c", STUBBORN])
    with Run(command, tmp_path, env=container.env) as run:
        assert receive(run.stdout, line=True) == b"ready\n"
        run.family()
        run.process.kill()
        until(container.is_gone, "the end of the container")
        until(run.all_gone, "the end of all")


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.3])
def test_kill_9_of_thv_while_the_container_is_being_made_leaves_none(
    tmp_path: Path, container: Container, delay: float
) -> None:
    command = behind_thv([*container.command("--rm"), "sh", "-c", STUBBORN])
    with Run(command, tmp_path, env=container.env) as run:
        until(lambda: any(process.name() == "podman" for process in run.family()), "podman")
        time.sleep(delay)
        run.process.kill()
        until(run.all_gone, "the end of all")
    assert container.is_gone()


def test_a_container_that_ignores_everything_is_killed_after_the_graces(tmp_path: Path, container: Container) -> None:
    command = behind_thv([*container.command("--rm"), "sh", "-c", STUBBORN])
    with Run(command, tmp_path, env=container.env) as run:
        assert receive(run.stdout, line=True) == b"ready\n"
        begun = time.monotonic()
        run.close_stdin()
        assert run.wait() == 128 + signal.SIGKILL
        assert time.monotonic() - begun >= EOF_GRACE + TERM_GRACE
        until(container.is_gone, "the end of the container")


def test_a_container_that_ends_by_itself_keeps_its_exit_code_and_its_remains(
    tmp_path: Path, container: Container
) -> None:
    command = behind_thv([*container.command(), "sh", "-c", "cat; exit 7"])
    with Run(command, tmp_path, env=container.env) as run:
        assert run.finish(b"one\n")[:2] == (7, b"one\n")
    assert container.state() == "exited"  # as without thv: there was no --rm


def test_a_detached_container_is_left_alone_and_that_is_said(tmp_path: Path, container: Container) -> None:
    with Run(behind_thv([*container.command("-d"), "sleep", "1000"]), tmp_path, env=container.env) as run:
        code, _, err = run.finish()
    assert code == 0
    assert b"thv: the container is detached (-d), so it does not end with this session\n" in err
    assert container.state() == "running"


def test_an_image_is_a_server_whose_secrets_are_on_no_command_line(tmp_path: Path, container: Container) -> None:
    env = {**container.env, "TOOLHIVE_CONTAINER_RUNTIME": "podman"}
    volume = tmp_path / "shared"
    volume.mkdir()
    (volume / "note").write_text("from the host\n")
    options = ["-e", "TOKEN=s3cret=1", "--network", "none", f"--volume={volume}:/shared:ro", f"docker://{IMAGE}"]
    script = 'echo "$TOKEN"; cat /shared/note; read -r _; echo end'
    command = [sys.executable, "-P", "-m", "thv", "run", *options, "--", "sh", "-c", script]
    with Run(command, tmp_path, env=env) as run:
        assert receive(run.stdout, line=True) == b"s3cret=1\n"
        assert receive(run.stdout, line=True) == b"from the host\n"
        words = [word for process in run.family() if process.pid != run.pid for word in process.cmdline()]
        assert words
        assert not [word for word in words if "s3cret" in word]
        assert run.finish(b"go\n")[:2] == (0, b"end\n")


def test_a_runtime_that_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "thv", "run", "docker://image"]
    for env, reason in (
        ({"TOOLHIVE_CONTAINER_RUNTIME": "no-such-tool"}, b"TOOLHIVE_CONTAINER_RUNTIME names no-such-tool"),
        ({"PATH": str(tmp_path), "TOOLHIVE_CONTAINER_RUNTIME": ""}, b"needs docker, podman or nerdctl"),
    ):
        with Run(command, tmp_path, env=env) as run:
            code, out, err = run.finish()
        assert (code, out) == (127, b"")
        assert reason in err
        assert err.count(b"\n") == 1


def test_a_docker_that_is_a_snap_starts_its_server(tmp_path: Path) -> None:
    """A snap can make files beneath its own folder of the home directory, and not in the /tmp of others."""
    snap, docker = tmp_path / "snap", tmp_path / "docker"
    snap.write_text(
        '#!/bin/sh\ncase $3 in\n"$HOME"/snap/docker/common/*) echo 0 >"$3" && exec cat ;;\nesac\n'
        'echo "failed to create the container ID file" >&2\nexit 125\n'
    )
    snap.chmod(0o755)
    docker.symlink_to(snap)
    home = tmp_path / "me"
    home.mkdir()
    with Run(behind_thv([str(docker), "run", "-i", "image"]), tmp_path, env={"HOME": str(home)}) as run:
        run.send(b"hello\n")
        assert receive(run.stdout, line=True) == b"hello\n"
        run.close_stdin()
        assert run.wait() == 0
    until(lambda: not list((home / "snap" / "docker" / "common").iterdir()), "the removal of the id")
