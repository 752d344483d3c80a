"""The copy of thv's tree into a wrapped server's pod: as the user it runs as, into folders as Kubernetes makes them."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from thv.operator import install_tree
from thv.operator.install_tree import EXTRAS, install, needed_distributions
from thv.operator.pod import NOBODY

if TYPE_CHECKING:
    from collections.abc import Iterator

ALWAYS = frozenset(EXTRAS)
SITE = Path(sysconfig.get_path("purelib"))
VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"


def distribution(site: Path, name: str, *requirements: str) -> None:
    """A package of one module, as pip installs it."""
    info = site / f"{name}-1.dist-info"
    info.mkdir(parents=True)
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {name}",
        "Version: 1",
        *(f"Requires-Dist: {each}" for each in requirements),
    ]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    (site / name).mkdir()
    (site / name / "__init__.py").write_text("")
    (info / "RECORD").write_text(f"{name}/__init__.py,,\n{name}-1.dist-info/METADATA,,\n{name}-1.dist-info/RECORD,,\n")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree of the image's form, with this environment's own packages in it."""
    made = tmp_path / "tree"
    library = made / "lib" / VERSION
    (library / "encodings" / "__pycache__").mkdir(parents=True)
    (library / "test").mkdir()
    (library / "test" / "test_nothing.py").write_text("")
    (library / "encodings" / "latin.py").write_text("x = 1\n")
    (library / "encodings" / "__pycache__" / f"latin.{sys.implementation.cache_tag}.pyc").write_bytes(b"compiled")
    (library / "encodings" / "plain.py").write_text("y = 1\n")
    site = library / "site-packages"
    distribution(site, "thv", "msgspec>=0.19", "typer", 'grpcio; extra == "grpc"', 'httptools; extra == "http"')
    distribution(site, "msgspec")
    distribution(site, "httptools")
    distribution(site, "grpcio", "typing_extensions")
    distribution(site, "typing_extensions")
    distribution(site, "typer", "rich")
    distribution(site, "rich", "typing-extensions")
    (made / "bin").mkdir()
    (made / "bin" / "python3").write_text("#!/bin/sh\n")
    (made / "bin" / "python3").chmod(0o755)
    (made / "lib" / "libz.so").symlink_to("libz.so.1")
    (made / "lib" / "libz.so.1").write_bytes(b"\x7fELF")
    return made


def test_what_a_wrapped_server_never_needs_is_not_on_the_list() -> None:
    needed = needed_distributions(SITE, ALWAYS)
    assert {"thv", "msgspec", "httptools", "opentelemetry-sdk", "prometheus-client", "protobuf"} <= needed
    assert not {"grpcio", "aiohttp", "kopf", "pip", "typer", "rich", "pygments", "mypy", "pytest"} & needed


def test_grpc_comes_along_only_where_it_is_used() -> None:
    assert needed_distributions(SITE, ALWAYS | {"grpc"}) - needed_distributions(SITE, ALWAYS) >= {"grpcio"}


@pytest.mark.parametrize(
    ("extras", "packages"),
    [
        (ALWAYS, ["httptools", "msgspec", "thv"]),
        (ALWAYS | {"grpc"}, ["grpcio", "httptools", "msgspec", "thv", "typing_extensions"]),
    ],
)
def test_only_needed_packages_are_copied(
    tree: Path, tmp_path: Path, extras: frozenset[str], packages: list[str]
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    install(tree, target, extras)
    site = target / "lib" / VERSION / "site-packages"
    assert sorted(path.name for path in site.iterdir() if not path.name.endswith(".dist-info")) == packages


def test_a_module_is_copied_compiled_or_else_as_its_source(tree: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    install(tree, target, ALWAYS)
    encodings = target / "lib" / VERSION / "encodings"
    assert sorted(path.name for path in encodings.iterdir()) == ["latin.pyc", "plain.py"]
    assert not (target / "lib" / VERSION / "test").exists()
    assert (target / "lib" / "libz.so").readlink() == Path("libz.so.1")
    assert (target / "bin" / "python3").stat().st_mode & stat.S_IXUSR


def test_a_second_copy_over_the_first_changes_nothing(tree: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    listed = []
    for _ in range(2):
        install(tree, target, ALWAYS)
        listed.append(sorted(str(path) for path in target.rglob("*")))
    assert listed[0] == listed[1]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder into which every user can look; pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("mode", [0o777, 0o2777])
def test_it_copies_as_another_user_into_a_folder_that_root_owns(tree: Path, mode: int, open_folder: Path) -> None:
    source, target = open_folder / "tree", open_folder / "volume"
    shutil.copytree(tree, source, symlinks=True)
    target.mkdir()
    target.chmod(mode)
    before = target.stat()

    done = subprocess.run(
        [sys.executable, "-P", "-c", AS_ANOTHER, str(NOBODY), str(source), str(target)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    after = target.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert (target / "bin" / "python3").stat().st_uid == NOBODY


# What is imported late is imported first: the other user may not be able to read this Python's library.
AS_ANOTHER = """
import os, sys
from pathlib import Path
from thv.operator.install_tree import main, unneeded_files
unneeded_files(next(Path(sys.argv[2]).glob("lib/*/site-packages")), frozenset())
user, source, target = int(sys.argv[1]), sys.argv[2], sys.argv[3]
os.setgroups([]); os.setgid(user); os.setuid(user)
sys.exit(main([source, target]))
"""


def test_a_target_that_cannot_be_written_is_one_line(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert install_tree.main([str(tree), str(tmp_path / "file")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("thv: cannot copy ")
    assert said.count("\n") == 1


def test_it_imports_the_standard_library_alone() -> None:
    code = (
        "import sys; before = set(sys.modules); import thv.operator.install_tree; print(*(set(sys.modules) - before))"
    )
    seen = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True).stdout.split()
    foreign = {name.split(".")[0] for name in seen} - set(sys.stdlib_module_names) - {"thv"}
    assert foreign == set()
