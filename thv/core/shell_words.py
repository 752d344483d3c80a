"""Words as a person types them in a shell: for the sentences that say what to type."""

from __future__ import annotations

import os


def shell_word(text: str) -> str:
    """The text as one word, in quotes where a shell would read it otherwise."""
    if os.name != "nt":
        import shlex

        return shlex.quote(text)
    return f'"{text}"' if any(character in text for character in " []@") else text


def shell_argument(text: str) -> str:
    """The text as the first argument of a command: after ``--`` where it would be taken for an option."""
    return f"-- {shell_word(text)}" if text.startswith("-") else shell_word(text)
