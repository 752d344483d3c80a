"""Reads one value of a YAML text; `thv.config.yaml.yaml_splice` changes one.

Promises: says what the first document of the text says, or refuses with line and column. A value that is shared by an
alias or a merge key is refused rather than followed: it stands somewhere else. Knows nothing of settings or files.
"""

from __future__ import annotations

from thv.config.yaml.tree import Alias, Mapping, Node, Scalar, Sequence, YamlDocument, YamlEntry, key_text, parse
from thv.errors import ConfigError

_CORE = "tag:yaml.org,2002:"
MERGE_KEY = "<<"


def get(text: str, keys: tuple[str, ...], *, path: str) -> Node | None:
    """The node at `keys`, or None if the text does not have it. `path` is only named in errors.

    Raises:
        ConfigError: the text is no YAML, what `keys` lead through is no section, or the value is shared.
    """
    return find(parse(text, path), keys, path=path)


def find(documents: list[YamlDocument], keys: tuple[str, ...], *, path: str) -> Node | None:
    """As `get`, for a text that has been parsed: parsing takes most of the time.

    Raises:
        ConfigError: as `get`.
    """
    if not documents:
        return None
    node: Node = documents[0].root
    for depth, key in enumerate(keys):
        if isinstance(node, Scalar) and node.is_null:
            return None
        if isinstance(node, Alias):
            raise refusal(f"{name(keys[:depth])} is an alias (*{node.anchor}); write its keys out", node, path)
        if not isinstance(node, Mapping):
            raise refusal(f"{name(keys[:depth])} must be a section of keys and values", node, path)
        entry = node.find(key)
        if entry is None:
            if merged := _merged(node, key):
                raise refusal(f"{name(keys[: depth + 1])} comes from a merge key; write it out", merged.key, path)
            return None
        node = entry.value
    if isinstance(node, Alias):
        raise refusal(f"{name(keys)} is an alias (*{node.anchor}); write the value itself", node, path)
    return node


def get_scalar(text: str, keys: tuple[str, ...], *, path: str) -> Scalar | None:
    """As `get`, for what must be one value.

    Raises:
        ConfigError: as `get`, and when the value is a section or a list.
    """
    return find_scalar(parse(text, path), keys, path=path)


def find_scalar(documents: list[YamlDocument], keys: tuple[str, ...], *, path: str) -> Scalar | None:
    """As `get_scalar`, for a text that has been parsed.

    Raises:
        ConfigError: as `get_scalar`.
    """
    node = find(documents, keys, path=path)
    if node is not None and not isinstance(node, Scalar):
        kind = "a list" if isinstance(node, Sequence) else "a section"
        raise refusal(f"{name(keys)} is {kind} where one value belongs", node, path)
    return node


def keys(text: str, section: tuple[str, ...], *, path: str) -> list[tuple[str, int]]:
    """The keys of a section with their lines; a merge key is none of them.

    Raises:
        ConfigError: as `get`.
    """
    node = get(text, section, path=path)
    if not isinstance(node, Mapping):
        return []
    return [
        (entry.key.value, entry.key.line)
        for entry in node.entries
        if isinstance(entry.key, Scalar) and entry.key.value != MERGE_KEY
    ]


def has_core_tag(scalar: Scalar) -> bool:
    """Whether a scalar has no tag, or one of YAML's own; an application's tag could mean anything."""
    return scalar.tag is None or scalar.tag.startswith(_CORE) or scalar.tag == "!"


def name(keys: tuple[str, ...]) -> str:
    """How a path of keys is called in a sentence."""
    return ".".join(keys) or "the file"


def refusal(reason: str, node: Node, path: str) -> ConfigError:
    """The error that says why not, at the node's position."""
    return ConfigError(reason, path=path, line=node.line, column=node.column)


def _merged(mapping: Mapping, key: str) -> YamlEntry | None:
    """The entry that merge keys would put into `mapping` (YAML merge key, yaml.org/type/merge), each node met once."""
    met: set[int] = set()
    todo: list[Node] = [entry.value for entry in mapping.entries if key_text(entry.key) == MERGE_KEY]
    while todo:
        node = todo.pop(0)
        if id(node) in met:
            continue
        met.add(id(node))
        if isinstance(node, Alias):
            todo += [node.target] if node.target is not None else []
        elif isinstance(node, Sequence):
            todo += node.items
        elif isinstance(node, Mapping):
            if found := node.find(key):
                return found
            todo += [entry.value for entry in node.entries if key_text(entry.key) == MERGE_KEY]
    return None
