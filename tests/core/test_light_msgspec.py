"""msgspec is imported without `typing_extensions`, works as ever, and takes that module away from nothing else."""

from __future__ import annotations

import subprocess
import sys


def run(code: str) -> list[str]:
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return seen.stdout.split()


def test_the_module_is_not_loaded_and_can_be_loaded_afterwards() -> None:
    code = """if True:
        import sys
        import thv.core.light_msgspec
        print("typing_extensions" in sys.modules, "msgspec" in sys.modules)
        import typing_extensions
        print(typing_extensions.NotRequired is not None)
    """
    assert run(code) == ["False", "True", "True"]


def test_what_is_loaded_already_stays() -> None:
    code = "import typing_extensions, sys; import thv.core.light_msgspec; print('typing_extensions' in sys.modules)"
    assert run(code) == ["True"]


def test_what_carries_a_session_does_not_load_it() -> None:
    code = "import sys, thv.instrumentation.instrumentation; print('typing_extensions' in sys.modules)"
    assert run(code) == ["False"]


def test_optional_keys_of_typed_dictionaries_are_still_understood() -> None:
    code = """if True:
        import thv.core.light_msgspec
        from typing import NotRequired, TypedDict
        from msgspec import json
        class Both(TypedDict):
            a: int
            b: NotRequired[int]
        print(json.decode(b'{"a":1}', type=Both) == {"a": 1})
    """
    assert run(code) == ["True"]
