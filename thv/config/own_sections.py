"""The part of the config file that is thv's own, for reading a long file: parsing takes seconds for a MiB."""

from __future__ import annotations

from thv.config.settings import SECTIONS


def own_sections(text: str) -> str:
    """The text, without what other programs keep in it if it is long. Every line keeps its number."""
    from thv.config.yaml import excerpt

    if len(text) < excerpt.LONG:
        return text
    short = excerpt.excerpt(text, frozenset(SECTIONS))
    return text if short is None else short
