"""The operator's log: each line names its object, and says each fact once.

Promises: what kopf logs about an object carries ``[namespace/name]`` as well; a failure that stays is not repeated with
every round, and its end is logged.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from thv.errors import ThvError

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class ObjectFormatter(logging.Formatter):
    """Puts the object that kopf attached to a record before its message."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's name
        """The line, with the object where one is known."""
        reference: Mapping[str, Any] = getattr(record, "k8s_ref", None) or {}
        place = "/".join(part for part in (reference.get("namespace"), reference.get("name")) if part)
        if place and not record.message.startswith("["):
            record.message = f"[{place}] {record.message}"
        return super().formatMessage(record)


def log_to_stderr(*, debug: bool) -> None:
    """What the operator does, for `kubectl logs`: one line each, with its time."""
    handler = logging.StreamHandler()
    handler.setFormatter(ObjectFormatter(FORMAT))
    logging.basicConfig(level=logging.DEBUG if debug else logging.INFO, handlers=[handler])
    if not debug:
        logging.getLogger("aiohttp.access").setLevel(logging.WARNING)  # each liveness probe


class Facts:
    """What has been logged of each object, so that it is logged once."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._told: dict[str, str] = {}

    def tell(self, about: str, failure: BaseException | None) -> None:
        """Log how work on `about` ended, if that is news.

        Args:
            about: ``namespace/name``, or what else the work was about.
            failure: what went wrong; None if nothing did.
        """
        if failure is None:
            if self._told.pop(about, None) is not None:
                self._logger.info("[%s] that has passed", about)
            return
        message = str(failure) or type(failure).__name__
        if self._told.get(about) == message:
            return
        self._told[about] = message
        if isinstance(failure, ThvError):
            self._logger.warning("[%s] %s", about, message)
        else:
            self._logger.error("[%s] unexpected; the next round tries again", about, exc_info=failure)

    def forget(self, about: str) -> None:
        """The object is gone."""
        self._told.pop(about, None)
