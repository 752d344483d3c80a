"""The project's own papers, workflows and packaging agree with each other."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import thv

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VERSIONS = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
VERSION = "import sys; print(*sys.version_info[:2], sep=chr(46))"
PAPERS = ("CONTRIBUTING.md", "SECURITY.md", "RELEASING.md", "CHANGELOG.md", "docs/architecture.md")


def workflow(name: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text())
    return read


def test_ci_tests_every_python_of_the_classifiers_on_every_system() -> None:
    matrix = workflow("tests.yml")["jobs"]["tests"]["strategy"]["matrix"]
    assert matrix["python"] == VERSIONS
    systems = {os.split("-")[0] for os in matrix["os"]}
    named = {name for name in PROJECT["classifiers"] if name.startswith("Operating System")}
    assert len(systems) == len(named) == 3
    assert PROJECT["requires-python"] == f">={VERSIONS[0]}"


@pytest.mark.parametrize("name", ["tests.yml", "release.yml"])
def test_a_workflow_starts_with_reading_rights_only(name: str) -> None:
    assert workflow(name)["permissions"] == {"contents": "read"}


REASONED = re.compile(
    r"\# (?:ruff: )?(?:noqa: [A-Z]+\d+(?:, [A-Z]+\d+)*|type: ignore\[[a-z, -]+\] +\#|pragma: no cover) +\S"
)
SUPPRESSION = re.compile(r"\# ?(?:ruff: ?)?(?:noqa|type: ?ignore|pragma: ?no cover|mypy:)")


@pytest.mark.parametrize("folder", ["thv", "tests", "benchmarks", "deploy", "examples"])
def test_every_suppressed_warning_has_its_reason_beside_it(folder: str) -> None:
    bare = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            bare += [f"{path}:{number}: {line}" for _ in SUPPRESSION.findall(REASONED.sub("", line))]
    assert not bare, "\n".join(bare)


def test_a_release_stores_no_token() -> None:
    publish = workflow("release.yml")["jobs"]["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert "secrets." not in str(publish)


def test_a_release_asks_for_the_version_where_it_stands() -> None:
    steps = [step.get("run", "") for step in workflow("release.yml")["jobs"]["build"]["steps"]]
    (check,) = [run for run in steps if "__version__" in run]
    read_version = re.search(r"\$\((.*\.py)\)", check)
    assert read_version is not None
    done = subprocess.run(["sh", "-c", read_version[1]], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == thv.__version__


def test_the_found_pythons_are_supported_and_the_oldest_comes_first() -> None:
    done = subprocess.run([ROOT / ".ci" / "pythons"], capture_output=True, text=True, check=True)
    found = done.stdout.split()
    said = [
        subprocess.run(
            [path, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for path in found
    ]
    assert 1 <= len(said) <= 2
    assert set(said) <= set(VERSIONS)
    assert said == sorted(said, key=VERSIONS.index)
    running = "{}.{}".format(*sys.version_info[:2])
    assert VERSIONS.index(said[0]) <= VERSIONS.index(running) <= VERSIONS.index(said[-1])


@pytest.mark.parametrize("paper", PAPERS)
def test_no_link_of_a_paper_leads_nowhere(paper: str) -> None:
    text = (ROOT / paper).read_text()
    for target in re.findall(r"\]\(((?!https?:|#|mailto:)[^)#]+)[^)]*\)", text):
        assert (ROOT / paper).parent.joinpath(target).exists(), target


def test_contact_and_addresses_are_those_of_the_project() -> None:
    assert {person["email"] for person in PROJECT["maintainers"]} == {"toolhive-support@stacklok.com"}
    assert PROJECT["urls"]["Issues"] == "https://github.com/stacklok/toolhive/issues"
    assert PROJECT["urls"]["Documentation"] == "https://docs.toolhive.dev"
