"""The configuration of each client as the client itself writes it, and small helpers around it."""

from __future__ import annotations

from pathlib import Path

from thv.clients.catalog import BY_NAME
from thv.clients.client_file_locations import ClientFile

WRITTEN = Path(__file__).parent / "written"
THV = "/opt/thv/bin/thv"


def written() -> dict[str, tuple[str, bytes]]:
    """The files by name: the client, and the bytes."""
    return {path.name: (path.stem.removesuffix("-project"), path.read_bytes()) for path in sorted(WRITTEN.iterdir())}


def file_of(client: str, path: str = "/somewhere/file") -> ClientFile:
    """A file of a client, which need not be there."""
    return ClientFile(Path(path), BY_NAME[client])
