"""Reading one boolean never raises, never guesses, never blocks, and loads nothing slow."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from thv.config.boolean_reading import read_boolean, unknown_keys
from thv.config.reader import MAX_BYTES
from thv.config.settings import (
    KEYS,
    OTEL,
    USAGE_ANALYTICS_ENABLED,
    config_path,
)
from thv.core.booleans import BOOLEANS
from thv.errors import SettingError

if TYPE_CHECKING:
    from pathlib import Path

KEY = USAGE_ANALYTICS_ENABLED


def read(path: Path) -> tuple[bool | None, str, str | None]:
    reading = read_boolean(str(path), KEYS[KEY])
    return reading.value, reading.where, reading.problem


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def test_the_file_is_in_the_home_directory_unless_the_variable_names_another() -> None:
    home = {"HOME": "/home/u", "USERPROFILE": "/home/u"}
    default = os.path.join("/home/u", ".toolhive", "config.yaml")  # noqa: PTH118  as the code joins it
    assert config_path(home) == default
    assert config_path({**home, "TOOLHIVE_CONFIG": ""}) == default
    assert config_path({**home, "TOOLHIVE_CONFIG": "/etc/thv.yaml"}) == "/etc/thv.yaml"
    assert config_path({**home, "TOOLHIVE_CONFIG": "here.yaml"}) == "here.yaml"
    expanded = os.path.join("/home/u", "dot/thv.yaml")  # noqa: PTH118  as the code joins it
    assert config_path({**home, "TOOLHIVE_CONFIG": "~/dot/thv.yaml"}) == expanded


def test_without_home_the_path_is_still_absolute() -> None:
    assert os.path.isabs(config_path({}))  # noqa: PTH117  the answer is a string
    assert os.path.isabs(config_path({"HOME": ""}))  # noqa: PTH117  the answer is a string


@pytest.mark.skipif(sys.platform == "win32", reason="HOME means nothing there")
def test_a_relative_home_is_ignored_so_that_a_no_in_the_users_file_is_found_from_every_directory() -> None:
    assert config_path({"HOME": "here"}) == config_path({})


@pytest.mark.parametrize("word", [form for word in BOOLEANS for form in (word, word.upper(), word.capitalize())])
@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_every_word_for_yes_and_no_is_read_quoted_or_not(config: Path, word: str, quote: str) -> None:
    config.write_text(f"otel:\n  {KEY}: {quote}{word}{quote}\n")
    assert read(config) == (BOOLEANS[word.lower()], f"{config}:2", None)


@pytest.mark.parametrize(
    "word", ["", "~", "null", "maybe", "2", "truee", "tru", "[true]", "{a: true}", "y", "n", "1.0"]
)
def test_whatever_is_no_boolean_is_a_problem_on_its_line(config: Path, word: str) -> None:
    config.write_text(f"# mine\notel:\n  {KEY}: {word}\n")
    value, where, problem = read(config)
    assert (value, where) == (None, f"{config}:3")
    assert problem is not None
    assert problem.startswith(f"{config}:3:")


@pytest.mark.parametrize(
    "text", ["", "# c\n", "other: 1\n", "otel:\n", "otel: ~\n", "otel:\n  endpoint: x:1\n", "otel: {}\n"]
)
def test_a_file_that_is_silent_is_no_problem(config: Path, text: str) -> None:
    config.write_text(text)
    assert read(config) == (None, str(config), None)


def test_a_missing_file_is_silence(config: Path) -> None:
    assert read(config) == (None, str(config), None)
    config.write_text("")
    assert read(config / "below-a-file") == (None, str(config / "below-a-file"), None)
    link = config.with_name("link")
    link.symlink_to(config.with_name("gone"))
    assert read(link) == (None, str(link), None)


def test_the_null_device_is_an_empty_file() -> None:
    assert read_boolean(os.devnull, KEYS[KEY]).value is None
    assert read_boolean(os.devnull, KEYS[KEY]).problem is None


def test_a_directory_a_loop_and_a_huge_file_are_problems(config: Path) -> None:
    config.mkdir()
    assert read(config)[2] == f"{config}: cannot be read: not a regular file"
    loop = config.with_name("loop")
    loop.symlink_to(loop)
    assert "cannot be read" in str(read(loop)[2])
    huge = config.with_name("huge")
    huge.write_bytes(b"#" * (MAX_BYTES + 1))
    assert str(read(huge)[2]).startswith(f"{huge}:1:{MAX_BYTES + 1}: is larger than 512 KiB from here on")


@pytest.mark.skipif(sys.platform == "win32", reason="named pipes are files on POSIX only")
def test_a_named_pipe_never_blocks(config: Path) -> None:
    os.mkfifo(config)
    assert stat.S_ISFIFO(config.stat().st_mode)
    assert read(config)[2] == f"{config}: cannot be read: not a regular file"


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root can become someone who may not read"
)
def test_a_file_that_may_not_be_read_is_a_problem(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"otel:\n  {KEY}: true\n")
    config.chmod(0o600)
    code = (
        "import os, sys\n"
        "from thv.config.boolean_reading import read_boolean\n"
        "from thv.config.settings import KEYS\n"
        "known = KEYS['usage-analytics-enabled']\n"
        "read_boolean('gone', known)\n"
        "descriptor = os.open(sys.argv[1], os.O_RDONLY)\n"
        "os.fchdir(descriptor); os.setuid(65534)\n"
        "print(read_boolean('config.yaml', known))\n"
    )
    seen = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "value=None" in seen.stdout
    assert "Permission denied" in seen.stdout


def test_unknown_keys_are_named_with_their_line_and_change_nothing(config: Path) -> None:
    for text in (f"otel:\n  usage: 1\n  {KEY}: false\n", f"otel: # flow\n  {{usage: 1,\n    '{KEY}': false}}\n"):
        config.write_text(text)
        assert read(config)[0] is False
        assert unknown_keys(str(config)) == [f"{config}:2: unknown key otel.usage, ignored"]
    for text in ("", "other: {usage: 1}\n", "otel: [\n", "otel:\n  <<: {a: 1}\n"):
        config.write_text(text)
        assert unknown_keys(str(config)) == []
    assert unknown_keys(str(config.with_name("gone"))) == []


@hypothesis_settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=64) | st.text(max_size=48).map(lambda text: f"otel:\n  {KEY}: {text}".encode("utf-8", "replace"))
)
def test_no_bytes_whatsoever_make_reading_raise(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any-bytes.yaml"
    path.write_bytes(data)
    reading = read_boolean(str(path), KEYS[KEY])
    assert reading.value is None or reading.problem is None
    assert reading.where.startswith(str(path))
    unknown_keys(str(path))


def test_an_unknown_setting_names_the_nearest() -> None:
    for wrong in ("usage-analytics", "usage_analytics_enabled", "usage-analytics-enable", "analytics"):
        with pytest.raises(SettingError, match="usage-analytics-enabled"):
            OTEL.setting(wrong)
    with pytest.raises(SettingError, match="the keys are usage-analytics-enabled, endpoint"):
        OTEL.setting("")
    assert OTEL.setting(KEY).default == "true"
    assert next(iter(KEYS)) == KEY


def test_reading_the_setting_loads_no_yaml_library_and_nothing_slow(config: Path) -> None:
    config.write_text(f"# mine\notel:\n  {KEY}: false # no\n")
    code = (
        "import os, sys, time, errno, select\n"
        "before = set(sys.modules)\n"
        "import thv.config.boolean_reading as reading, thv.config.settings as settings\n"
        "import thv.config.yaml.plain_reader, thv.config.reader\n"
        "print(sorted(m for m in set(sys.modules) - before if not m.startswith('thv')))\n"
        "assert reading.read_boolean(sys.argv[1], settings.KEYS['usage-analytics-enabled']).value is False\n"
        "assert reading.unknown_keys(sys.argv[1]) == []\n"
        "print([m for m in ('ruamel.yaml', 'typing', 're') if m in sys.modules])\n"
    )
    seen = subprocess.run([sys.executable, "-c", code, str(config)], capture_output=True, text=True, check=True)
    assert seen.stdout.split("\n") == ["['__future__']", "[]", ""]
