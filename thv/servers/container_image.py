"""`docker://IMAGE[:TAG]`: a server in a container, run by whichever container tool there is.

The values of ``-e`` reach it through the environment of the tool, never on a command line, which every user of the
machine may read.
"""

from __future__ import annotations

import os

from thv.core.container_runtimes import RUNTIMES
from thv.errors import CommandNotFoundError, UsageError
from thv.servers import executable_lookup as commands
from thv.servers.launch_spec import LaunchSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

CHOICE: Final = "TOOLHIVE_CONTAINER_RUNTIME"
"""Names the tool to use."""


def container(
    image: str,
    args: Sequence[str],
    *,
    environ: Mapping[str, str],
    env: Mapping[str, str],
    cwd: str | None,
    given: Sequence[str],
    options: Sequence[str],
) -> LaunchSpec:
    """The launch spec of a server in a container.

    Args:
        image: its image.
        args: the arguments of what the image runs.
        environ: the environment thv runs in.
        env: the environment of the tool.
        cwd: where the tool runs.
        given: the variables in it that are meant for the server.
        options: further options of ``run``.

    Raises:
        UsageError: that is no image.
        CommandNotFoundError: there is no tool.
    """
    if (
        not image
        or image.startswith(("-", "/"))
        or any(character.isspace() or character == "\0" for character in image)
    ):
        raise UsageError(f"docker://{image}: not an image: write docker://IMAGE[:TAG]")
    runtime = _runtime(environ)
    return LaunchSpec(
        name=_name(image),
        executable=runtime,
        # One word each: a value that begins with a dash is no option.
        argv=(runtime, "run", "-i", "--rm", *options, *(f"--env={name}" for name in given), image, *args),
        env=env,
        cwd=cwd,
        runner=os.path.basename(runtime),
    )


def _runtime(environ: Mapping[str, str]) -> str:
    chosen = environ.get(CHOICE)
    if chosen:
        found = commands.find(chosen, environ)
        if found is None:
            raise CommandNotFoundError(f"{CHOICE} names {chosen}, which is not there")
        return os.path.abspath(found)
    for name in RUNTIMES:
        found = commands.find(name, environ)
        if found is not None:
            return os.path.abspath(found)
    raise CommandNotFoundError(
        f"a docker:// server needs {', '.join(RUNTIMES[:-1])} or {RUNTIMES[-1]}, none of which is on PATH: "
        "install one, or name it by " + CHOICE
    )


def _name(image: str) -> str:
    """The image without registry, namespace, tag and digest."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]
