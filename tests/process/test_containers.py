"""Which commands run a container, as people write them in the configuration of a client."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from thv.process.containers import ContainerRun, recognise


def words(text: str) -> list[str]:
    return text.split()


# The options of `run` in docker 29, podman 6 and nerdctl 2, from their source.
SWITCHES = words("""
P d debug debug-full detach disable-content-trust env-host experimental help http-proxy i init insecure-registry
interactive kube-hide-dupe no-healthcheck no-hostname no-hosts oom-kill-disable passwd privileged publish-all q
quiet read-only read-only-tmpfs replace rm rmi rootfs selinux-enabled sig-proxy syslog t tls-verify trace
transient-store tty unsetenv-all use-api-socket
""")
WITH_A_VALUE = words("""
a add-host address annotation arch attach authfile blkio-weight blkio-weight-device c cap-add cap-drop cert-dir
cgroup-conf cgroup-parent cgroupns cgroups chrootdirs conmon-pidfile connection cosign-certificate-identity
cosign-certificate-identity-regexp cosign-certificate-oidc-issuer cosign-certificate-oidc-issuer-regexp cosign-key
cpu-count cpu-percent cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares cpus cpuset-cpus cpuset-mems
creds data-root decryption-key detach-keys device device-cgroup-rule device-read-bps device-read-iops
device-write-bps device-write-iops dns dns-opt dns-option dns-search domainname e entrypoint env env-file env-merge
expose gidmap gpus group-add h health-cmd health-interval health-log-destination health-max-log-count
health-max-log-size health-on-failure health-retries health-start-interval health-start-period health-startup-cmd
health-startup-interval health-startup-retries health-startup-success health-startup-timeout health-timeout hostname
hosts-file hostuser image-volume init-binary init-path io-maxbandwidth io-maxiops ip ip6 ipc ipfs-address isolation
kernel-memory l label label-file link link-local-ip log-driver log-level log-opt m mac-address memory
memory-reservation memory-swap memory-swappiness mount name namespace net net-alias network network-alias
oom-score-adj os p passwd-entry personality pid pidfile pids-limit platform pod pod-id-file preserve-fd preserve-fds
publish pull rdt-class requires restart retry retry-delay runtime sdnotify seccomp-policy secret security-opt
shm-size shm-size-systemd snapshotter stop-signal stop-timeout storage-opt subgidname subuidname sysctl systemd
timeout tmpfs tz u uidmap ulimit umask unsetenv url user userns uts v variant verify volume volume-driver
volumes-from w workdir
""")


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


def misread(spellings: list[str]) -> list[str]:
    """Those after which `-d --rm` is not seen as options."""
    found = {spelling: recognised(f"docker run {spelling} -d --rm image") for spelling in spellings}
    return [spelling for spelling, run in found.items() if run is None or not (run.is_detached and run.removes)]


def dashed(option: str) -> str:
    return f"-{option}" if len(option) == 1 else f"--{option}"


def test_the_word_after_a_switch_is_no_value_of_it() -> None:
    assert misread([dashed(option) for option in SWITCHES]) == []


def test_the_word_after_any_other_option_is_its_value() -> None:
    assert misread([f"{dashed(option)} value" for option in WITH_A_VALUE]) == []
    assert misread([f"-i{letter} value" for letter in WITH_A_VALUE if len(letter) == 1]) == []


@pytest.mark.skipif(sys.platform == "win32", reason="TMPDIR is POSIX's")
def test_a_tmpdir_that_is_gone_is_no_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some shells make one of their own, and remove it when they end."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    found = recognised("docker run image")
    assert found is not None
    assert Path(found.cidfile).parents[1] == tmp_path
    monkeypatch.setenv("TMPDIR", str(tmp_path / "gone"))
    found = recognised("docker run image")
    assert found is not None
    assert Path(found.cidfile).parents[1] == Path("/tmp")


@pytest.mark.skipif(sys.platform != "linux", reason="snaps are Linux's")
def test_a_tool_of_a_snap_writes_the_id_where_it_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A snap has a /tmp of its own, and sees nothing hidden of the home directory."""
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    snap, docker = tmp_path / "usr" / "snap", tmp_path / "bin" / "docker"
    for folder in (snap.parent, docker.parent):
        folder.mkdir()
    snap.touch()
    docker.symlink_to(snap)
    found = recognise(str(docker), ["docker", "run", "-i", "image"])
    assert found is not None
    directory = Path(found.cidfile).parent
    assert directory.parent == tmp_path / "me" / "snap" / "docker" / "common"
    assert str(directory) == found.made_directory
    found.forget()
    assert list(directory.parent.iterdir()) == []


@pytest.mark.parametrize("option", ["--cidfile mine", "--cidfile=mine", "-h box --cidfile mine"])
def test_a_file_of_the_users_is_used(option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = f"docker run {option} image"
    found = recognised(command)
    assert found is not None
    assert (found.cidfile, found.made_directory) == (str(tmp_path / "mine"), None)
    assert list(found.argv) == shlex.split(command)
    (tmp_path / "mine").write_text("another container")
    assert recognised(command) is None  # which must not be ended
