"""Whether the packages of an extra are installed."""

from __future__ import annotations

from thv.core.installation import missing_extra

HTTP_EXTRA = "http"


def require(module: str, what: str, *extras: str) -> None:
    """Import a module that an extra brings.

    Args:
        module: its dotted name.
        what: the feature that needs it, as the subject of a sentence.
        extras: the extras that bring the feature's packages.

    Raises:
        ThvError: a package is not installed.
    """
    from importlib import import_module

    try:
        import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "thv":
            raise
        raise missing_extra(what, *extras) from error
