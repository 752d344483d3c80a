"""How this installation of thv gets packages that it lacks: the command that works for the way it was installed."""

from __future__ import annotations

import os
import sys

from thv.core.shell_words import shell_word
from thv.errors import ThvError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

EXTRAS: Final = {
    "auth": "keyring",
    "grpc": "grpc",
    "http": "httpx",
    "operator": "kopf",
    "prometheus": "prometheus_client",
}
"""Extra -> the module that shows that it is installed."""


def missing_extra(what: str, *extras: str) -> ThvError:
    """The error of a feature whose packages are not installed.

    Args:
        what: the feature, as the subject of the sentence.
        extras: the extras that bring the packages.
    """
    return ThvError(f"{what} needs packages that are not installed: {install_command(*extras)}")


def install_command(*extras: str) -> str:
    """The command that adds extras to this installation.

    pipx and uv mark the environments that they make for a tool; neither lets `pip` on PATH reach them.
    """
    if os.path.exists(os.path.join(sys.prefix, "uv-receipt.toml")):  # noqa: PTH110, PTH118  pathlib costs 6 ms
        # It makes the environment anew, so what is there has to be named again.
        return f"uv tool install {_requirement({*extras, *_installed_extras()})}"
    requirement = _requirement(set(extras))
    if os.path.exists(os.path.join(sys.prefix, "pipx_metadata.json")):  # noqa: PTH110, PTH118  as above
        return f"pipx runpip thv install {requirement}"
    from importlib.util import find_spec

    python = shell_word(sys.executable)
    if find_spec("pip") is None:  # as in environments that `uv venv` makes
        return f"uv pip install --python {python} {requirement}"
    return f"{python} -m pip install {requirement}"


def _installed_extras() -> set[str]:
    from importlib.util import find_spec

    return {extra for extra, module in EXTRAS.items() if find_spec(module) is not None}


def _requirement(extras: set[str]) -> str:
    """What to install: from where this installation came, since thv may not be in the package index."""
    from importlib.metadata import PackageNotFoundError, distribution

    wanted = f"thv[{','.join(sorted(extras))}]"
    try:
        origin = distribution("thv").read_text("direct_url.json")
    except PackageNotFoundError:  # run from a checkout
        origin = None
    if origin is None:
        return shell_word(wanted)
    import json

    details = json.loads(origin)
    url = str(details["url"])
    if details.get("dir_info", {}).get("editable"):
        from urllib.parse import unquote, urlsplit

        return f"-e {shell_word(unquote(urlsplit(url).path) + wanted.removeprefix('thv'))}"
    vcs = details.get("vcs_info", {}).get("vcs")
    return shell_word(f"{wanted} @ {f'{vcs}+' if vcs else ''}{url}")
