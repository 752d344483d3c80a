"""Where the clients' files are on this machine, and which client a file belongs to that the user names.

Looks whether files are there. Reads only those that belong to another program, too, to see whether a client uses them.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from thv.clients.catalog import BY_NAME, CLIENTS, JSON, TOML, YAML, Client
from thv.errors import ThvError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SYNTAX_BY_SUFFIX = {".json": JSON, ".jsonc": JSON, ".toml": TOML, ".yaml": YAML, ".yml": YAML}


@dataclass(frozen=True, slots=True)
class ClientFile:
    """One file and the client that reads it; the client is None for a file whose name no client uses."""

    path: Path
    client: Client | None
    is_project: bool = False

    @property
    def syntax(self) -> str:
        """The format, by the client or the name."""
        return SYNTAX_BY_SUFFIX.get(self.path.suffix.lower(), JSON) if self.client is None else self.client.syntax

    @property
    def lock(self) -> Path | None:
        """The folder that the client makes while it changes the file; None if it makes none."""
        if self.client is None or not self.client.lock or self.is_project:
            return None
        is_users = self.path.name in {location.path.rpartition("/")[2] for location in self.client.locations}
        return self.path.with_name(self.path.name + self.client.lock) if is_users else None

    @property
    def title(self) -> str:
        """What to call the client."""
        return "its client" if self.client is None else self.client.title


@dataclass(frozen=True, slots=True)
class Machine:
    """What decides where files are: the system, the environment and the home directory."""

    system: str
    environ: Mapping[str, str]
    home: Path

    @classmethod
    def this(cls) -> Machine:
        """The machine we run on."""
        system = sys.platform if sys.platform in {"darwin", "win32"} else "linux"
        try:
            home = Path.home()
        except RuntimeError:
            raise ThvError("there is no home directory to look in: set HOME, or name the file") from None
        return cls(system, os.environ, home)

    def folders(self) -> dict[str, str]:
        """What each placeholder of the catalog stands for."""
        home = str(self.home)
        xdg = self.environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
        config = {
            "darwin": f"{home}/Library/Application Support",
            "win32": self.environ.get("APPDATA") or f"{home}/AppData/Roaming",
        }.get(self.system, xdg)
        local = self.environ.get("LOCALAPPDATA") or f"{home}/AppData/Local"
        return {"home": home, "xdg": xdg, "config": config, "local": local}


def user_paths(client: Client, machine: Machine) -> Iterator[Path]:
    """Every path at which the client may keep a file of the user's, whether or not it is there."""
    for path, _ in _user_paths(client, machine):
        yield path


def _user_paths(client: Client, machine: Machine) -> Iterator[tuple[Path, str]]:
    """The paths, and what a file there must contain."""
    folders = machine.folders()
    for location in client.locations:
        if machine.system not in location.systems:
            continue
        path = location.path.format_map(folders)
        if location.variable and machine.environ.get(location.variable):
            path = f"{machine.environ[location.variable]}/{Path(path).name}"
        yield from ((each, location.marker) for each in _expanded(path))


def find(machine: Machine, project: Path | None, clients: Sequence[Client] = CLIENTS) -> list[ClientFile]:
    """The files that are there: the user's, then those of the project."""
    found: dict[tuple[str, str], ClientFile] = {}
    for client in clients:
        for path, marker in _user_paths(client, machine):
            if _is_there(path) and _contains(path, marker):
                found.setdefault((client.id, os.path.realpath(path)), ClientFile(path, client))
        for path, marker in _project_paths(client, project) if project is not None else ():
            if _is_there(path) and _contains(path, marker):
                found.setdefault((client.id, os.path.realpath(path)), ClientFile(path, client, is_project=True))
    return list(found.values())


def _project_paths(client: Client, project: Path) -> Iterator[tuple[Path, str]]:
    marker = client.servers[0][0]
    for relatives, wanted in ((client.project, ""), (client.project_if_marked, marker)):
        for relative in relatives:
            yield from ((path, wanted) for path in _expanded(str(project / relative)))


def _contains(path: Path, marker: str) -> bool:
    """Whether the file holds the marker. One that cannot be read is its other program's trouble."""
    if not marker:
        return True
    try:
        return path.is_file() and marker.encode() in path.read_bytes()
    except OSError:
        return False


def named(words: Sequence[str], machine: Machine, project: Path | None) -> list[ClientFile]:
    """The files that the words of the command line name: clients or files.

    Raises:
        UsageError: a word is neither.
        ThvError: a client has no file here, or a file is not there.
    """
    found: dict[Path, ClientFile] = {}
    for word in words:
        for file in _named(word, machine, project):
            found.setdefault(file.path, file)
    return list(found.values())


def from_home(path: str) -> Path:
    """The path with its home directory filled in, as shells do it: ``~`` of a user who is not there stays as it is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111  pathlib raises for such a user


def owner(path: Path, machine: Machine) -> Client | None:
    """The client that reads a file of this path: by its place, else by how its name ends."""
    real = os.path.realpath(path)
    for client in CLIENTS:
        if any(os.path.realpath(candidate) == real for candidate in user_paths(client, machine)):
            return client
    absolute = path.absolute()
    for client in CLIENTS:
        if any(_ends_with(absolute, relative) for relative in (*client.project, *client.project_if_marked)):
            return client
    names: dict[str, list[Client]] = {}
    for client in CLIENTS:
        for location in client.locations:
            names.setdefault(Path(location.path).name, []).append(client)
            if _ends_with(absolute, location.path.partition("}/")[2]):
                return client
    owners = {client.id: client for client in names.get(path.name, [])}
    return next(iter(owners.values())) if len(owners) == 1 else None


def _named(word: str, machine: Machine, project: Path | None) -> list[ClientFile]:
    client = BY_NAME.get(word.lower())
    path = from_home(word)
    if client is None and (_is_there(path) or path.suffix.lower() in SYNTAX_BY_SUFFIX or os.sep in word):
        if not _is_there(path):
            raise ThvError(f"{word}: no such file")
        return [ClientFile(path, owner(path, machine))]
    if client is None:
        from difflib import get_close_matches

        near = get_close_matches(word.lower(), BY_NAME, n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else f"the clients are {', '.join(c.id for c in CLIENTS)}"
        raise UsageError(f"{word!r} is neither a client nor a file; {hint}")
    files = find(machine, project, (client,))
    if not files:
        looked = ", ".join(str(path) for path in user_paths(client, machine))
        raise ThvError(f"{client.title} has no configuration here; looked for {looked or 'nothing on this system'}")
    return files


def _expanded(path: str) -> list[Path]:
    if "*" not in path:
        return [Path(path)]
    fixed = path.partition("*")[0]
    base = Path(fixed if fixed.endswith("/") else os.path.dirname(fixed))  # noqa: PTH120  a text with a pattern in it
    pattern = path[len(str(base)) :].lstrip("/")
    try:
        return sorted(base.glob(pattern))
    except OSError:
        return []


def _is_there(path: Path) -> bool:
    """Whether there is anything by that name, a broken link included: it is then named as unreadable."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _ends_with(path: Path, relative: str) -> bool:
    """Whether the last parts of the path match those of a pattern."""
    pattern = Path(relative).parts
    return bool(pattern) and len(path.parts) > len(pattern) and path.match(str(Path(*pattern)))
