"""What SERVER means on the command line, decided once: the words become a launch spec.

A server is a name of the registry, ``uvx://PACKAGE[@VERSION]``, ``npx://PACKAGE[@VERSION]``, ``docker://IMAGE[:TAG]``,
the path of an executable, or, without SERVER, any command. Nothing is started and nothing is fetched here. This module
is loaded before the server is started: what only an error or a container needs is imported then.
"""

from __future__ import annotations

import os
import sys

from thv.core.shell_words import shell_word
from thv.errors import CommandNotFoundError, ThvError, UnknownServerError, UsageError
from thv.servers import executable_lookup as commands
from thv.servers import registry
from thv.servers.launch_spec import LaunchSpec
from thv.servers.server_environment import child_environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

DEMO_FILE: Final = os.path.join(os.path.dirname(__file__), "demo.py")

RUNNERS: Final = {
    "uvx": ("uvx", (), "install uv: https://docs.astral.sh/uv/"),
    # -y: npx would ask on stdin, which belongs to the client, before it installs a package.
    "npx": ("npx", ("-y",), "install Node.js: https://nodejs.org/"),
}
"""Runner -> its command, its own options, and how to get it."""

IMAGE: Final = "docker://"
"""What the name of a container image stands after."""

_FORMS: Final = (
    "a name, uvx://PACKAGE, npx://PACKAGE, docker://IMAGE, the path of an executable, or the URL of a remote server"
)


def resolve(
    server: str | None,
    args: Sequence[str],
    *,
    environ: Mapping[str, str],
    env: Sequence[str] = (),
    env_file: Sequence[str] = (),
    name: str | None = None,
    cwd: str | None = None,
    network: str | None = None,
    volume: Sequence[str] = (),
) -> LaunchSpec:
    """The launch spec for what the user typed.

    Args:
        server: SERVER, or None when `args` is a whole command.
        args: what stood after ``--``.
        environ: the environment thv runs in.
        env: the ``KEY=VALUE`` of each ``-e``.
        env_file: the path of each ``--env-file``.
        name: ``--name``: what to call the server instead of its own name.
        cwd: ``--cwd``: where the server runs.
        network: ``--network``: what a container is attached to.
        volume: the ``HOST_PATH:PATH`` of each ``--volume``: what a container sees of this machine.

    Raises:
        UnknownServerError: SERVER is nothing thv can run.
        CommandNotFoundError: the command, or the runner of the package, is missing.
        NotExecutableError: the command is there and may not be executed.
        UsageError: a bad ``-e``, a package or an image that cannot be one, or options that only a container has.
        ThvError: a bad ``--env-file`` or ``--cwd``.
    """
    child_env = child_environment(environ, env_file, env)
    directory = _directory(cwd)
    is_image = server is not None and server[: len(IMAGE)].lower() == IMAGE
    if (network is not None or volume) and not is_image:
        raise UsageError("--network and --volume are for servers in containers: docker://IMAGE")
    if server is not None and is_image:
        from thv.servers.container_image import container

        given = tuple(child_environment({}, env_file, env))
        options = [*([] if network is None else [f"--network={network}"]), *(f"--volume={each}" for each in volume)]
        spec = container(
            server[len(IMAGE) :], args, environ=environ, env=child_env, cwd=directory, given=given, options=options
        )
    elif server is None:
        spec = _command(args, child_env, directory)
    elif "://" in server:
        spec = _url(server, args, child_env, directory)
    elif commands.has_separator(server) or server.startswith("~"):
        spec = _command([os.path.expanduser(server), *args], child_env, directory)
    else:
        spec = _registered(server, args, child_env, directory)
    return spec if name is None else spec.replace(name=name)


def _directory(cwd: str | None) -> str | None:
    if cwd is None:
        return None
    try:
        directory = os.path.abspath(os.path.expanduser(cwd))
    except FileNotFoundError:
        raise ThvError(f"--cwd {cwd}: the directory that thv was started in is gone; give an absolute path") from None
    if not os.path.isdir(directory):
        raise ThvError(f"--cwd {cwd}: no such directory")
    return directory


def _command(argv: Sequence[str], env: Mapping[str, str], cwd: str | None) -> LaunchSpec:
    if not argv or not argv[0]:
        raise UsageError("there is no command to run: thv run -- COMMAND [ARGS...]")
    first = argv[0]
    found = commands.require(first, env)
    if cwd is not None:
        found = os.path.abspath(found)  # relative to where the user typed it, not to --cwd
        first = found if commands.has_separator(first) else first
    return LaunchSpec(name=_base_name(argv[0]), executable=found, argv=(first, *argv[1:]), env=env, cwd=cwd)


def _base_name(command: str) -> str:
    base = os.path.basename(command)
    return os.path.splitext(base)[0] if sys.platform == "win32" else base


def _registered(server: str, args: Sequence[str], env: Mapping[str, str], cwd: str | None) -> LaunchSpec:
    known = registry.entries()
    entry = known.get(server)
    if entry is None:
        raise _unknown(server, list(known), env)
    if entry.runner == registry.BUILTIN:
        # -I and -S: no user site, no PYTHON variables, no site-packages: it starts fast and imports nothing but itself.
        argv = (sys.executable, "-IS", DEMO_FILE, *args)
        return LaunchSpec(name=entry.name, executable=sys.executable, argv=argv, env=env, cwd=cwd, is_demo=True)
    return _package(entry.name, entry.runner, entry.package, args=args, env=env, cwd=cwd)


def _package(
    name: str, runner: str, package: str, *, args: Sequence[str], env: Mapping[str, str], cwd: str | None
) -> LaunchSpec:
    command, options, remedy = RUNNERS[runner]
    found = commands.find(command, env)
    if found is None:
        raise CommandNotFoundError(f"{name} needs {runner}, which is not on PATH: {remedy}")
    argv = (command, *options, package, *args)
    return LaunchSpec(name=name, executable=found, argv=argv, env=env, cwd=cwd, runner=runner)


def _url(server: str, args: Sequence[str], env: Mapping[str, str], cwd: str | None) -> LaunchSpec:
    scheme, _, package = server.partition("://")
    scheme = scheme.lower()
    if scheme in {"http", "https"}:
        from thv.core.net.url_redaction import redact_url

        raise ThvError(f"{redact_url(server)}: a remote server is not started; only `thv run` and `thv mcp` take a URL")
    if scheme not in RUNNERS:
        near = _near(scheme, [*RUNNERS, "docker"])
        hint = f"did you mean {near[0]}://{package}?" if near else f"SERVER is {_FORMS}"
        raise UnknownServerError(f"{server}: thv has no {scheme}:// servers; {hint}")
    return _package(_package_name(scheme, package), scheme, package, args=args, env=env, cwd=cwd)


def _package_name(scheme: str, package: str) -> str:
    """The package without scope and version.

    Raises:
        UsageError: it is no ``PACKAGE[@VERSION]``. One that starts with a dash would be an option to the runner.
    """
    scope, slash, rest = package.partition("/")
    if scheme == "npx" and package.startswith("@"):
        is_scoped, bare = bool(slash and scope[1:]), rest
    else:
        is_scoped, bare = not slash, package
    name, at, version = bare.partition("@")
    malformed = not name or name.startswith("-") or (at and not version) or any(c.isspace() or c in "/\0" for c in bare)
    if not is_scoped or malformed:
        form = "[@SCOPE/]PACKAGE[@VERSION]" if scheme == "npx" else "PACKAGE[@VERSION]"
        raise UsageError(f"{scheme}://{package}: not a package: write {scheme}://{form}")
    return name


def _near(word: str, known: list[str]) -> list[str]:
    import difflib

    return difflib.get_close_matches(word.lower(), known, n=3, cutoff=0.6)


def _unknown(server: str, known: list[str], env: Mapping[str, str]) -> UnknownServerError:
    near = _near(server, known)
    parts = [f"there is no server named {server!r}"]
    if server and (found := commands.find(server, env)) is not None:
        words = f"thv run -- {shell_word(server)}, or its path as SERVER: {shell_word(found)}"
        parts.append(f"to run the command of that name: {words}")
    elif not near:
        parts.append(f"SERVER is {_FORMS}")
    parts.append(f"did you mean {' or '.join(near)}?" if near else f"the names are {', '.join(known)}")
    return UnknownServerError("; ".join(parts))
