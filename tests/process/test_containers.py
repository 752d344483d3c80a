"""Which commands run a container, as people write them in the configuration of a client."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from thv.process.containers import ContainerRun, recognise


def recognised(command: str) -> ContainerRun | None:
    words = shlex.split(command)
    found = recognise("/usr/bin/tool", words)
    if found is not None:
        found.forget()
    return found


@pytest.mark.parametrize(
    ("command", "runtime", "after_run"),
    [
        ("docker run -i --rm image", [], ["-i", "--rm", "image"]),
        ("/usr/local/bin/podman run -i image", [], ["-i", "image"]),
        ("nerdctl --namespace k8s.io run -i image", ["--namespace", "k8s.io"], ["-i", "image"]),
        ("docker container run image", [], ["image"]),
        ("docker --context=far -D container run image", ["--context=far", "-D"], ["image"]),
        ("docker -H ssh://far --log-level error run image", ["-H", "ssh://far", "--log-level", "error"], ["image"]),
        ("podman --remote --url u run image", ["--remote", "--url", "u"], ["image"]),
    ],
)
def test_the_id_of_a_container_goes_into_a_file(command: str, runtime: list[str], after_run: list[str]) -> None:
    found = recognised(command)
    assert found is not None
    assert list(found.runtime) == ["/usr/bin/tool", *runtime]
    assert list(found.argv[-len(after_run) - 2 :]) == ["--cidfile", found.cidfile, *after_run]
    assert found.argv[-len(after_run) - 3] == "run"
    assert not found.is_detached


@pytest.mark.parametrize(
    "command",
    [
        "docker",
        "docker ps",
        "docker compose run image",
        "docker exec -i container run",
        "docker --host run ps",
        "dockerd run",
        "node run",
        "sh -c 'docker run image'",
    ],
)
def test_what_runs_no_container_is_left_as_it_is(command: str) -> None:
    assert recognised(command) is None


@pytest.mark.parametrize(
    ("options", "is_detached", "removes"),
    [
        ("-i", False, False),
        ("--rm", False, True),
        ("--rm=false", False, False),
        ("-d", True, False),
        ("-dit --rm", True, True),
        ("-itd", True, False),
        ("--detach", True, False),
        ("--detach=true", True, False),
        ("--detach=false --rm", False, True),
        ("-e -d", False, False),  # the value of -e
        ("-e=-d", False, False),
        ("-ie A=d --rm", False, True),
        ("-eDEBUG=d", False, False),
        ("--name -d --rm", False, True),
        ("-v /d:/d -p 1:1 --network none --rm", False, True),
        ("--init --read-only --rm", False, True),
        ("--entrypoint sh --rm", False, True),
    ],
)
def test_options_are_read_as_the_tools_read_them(options: str, is_detached: bool, removes: bool) -> None:
    for image in ("image", "-- image"):
        found = recognised(f"docker run {options} {image} -d --rm --cidfile x")  # what follows is the image's
        assert found is not None
        assert (found.is_detached, found.removes) == (is_detached, removes)
        assert found.cidfile != str(Path("x").absolute())


@pytest.mark.parametrize("option", ["--cidfile mine", "--cidfile=mine"])
def test_a_file_of_the_users_is_used(option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = f"docker run {option} image"
    found = recognised(command)
    assert found is not None
    assert (found.cidfile, found.made_directory) == (str(tmp_path / "mine"), None)
    assert list(found.argv) == shlex.split(command)
    (tmp_path / "mine").write_text("another container")
    assert recognised(command) is None  # which must not be ended
