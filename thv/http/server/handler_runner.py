"""Runs the handler of a listener for each request, at once as far as it does not have to wait, and holds its tasks."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from thv.core.current_request import CURRENT_REQUEST

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from thv.http.server.request import HttpRequest

    Work = Coroutine[Any, Any, None]
    Handler = Callable[[HttpRequest], Work | None]
    """Answers a request, or begins to and returns what is left to do, which gets a task of its own."""


class HandlerRunner:
    """Runs one handler.

    Args:
        handler: called with each request.
        warn: given a line when the handler failed.
    """

    def __init__(self, handler: Handler, warn: Callable[[str], None]) -> None:
        self._handler = handler
        self._warn = warn
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, request: HttpRequest) -> None:
        """Run it right here until it has to wait: a turn of the loop less for each request."""
        before = CURRENT_REQUEST.set(request)
        try:
            work = self._begin(request)
            if work is None:
                return
            loop = asyncio.get_running_loop()
            if sys.version_info >= (3, 12):
                task = asyncio.Task(self._finish(request, work), loop=loop, eager_start=True)
                if task.done():
                    return
            else:
                task = loop.create_task(self._finish(request, work))
        finally:
            CURRENT_REQUEST.reset(before)
        self._keep(task)

    def run_later(self, request: HttpRequest) -> None:
        """Run it in the loop's next turn: requests that were sent all at once must not run inside one another."""
        self._keep(asyncio.get_running_loop().create_task(self._run(request)))

    async def _run(self, request: HttpRequest) -> None:
        CURRENT_REQUEST.set(request)
        work = self._begin(request)
        if work is not None:
            await self._finish(request, work)

    def _begin(self, request: HttpRequest) -> Work | None:
        try:
            work = self._handler(request)
        except Exception as error:  # noqa: BLE001  one request must not take the others with it
            self._failed(request, error)
            work = None
        if work is None:
            request.check_response()
        return work

    async def _finish(self, request: HttpRequest, work: Work) -> None:
        try:
            await work
        except ConnectionError:
            pass  # the client left
        except Exception as error:  # noqa: BLE001  as above
            self._failed(request, error)
        request.check_response()

    def _failed(self, request: HttpRequest, error: Exception) -> None:
        """The handler raised an error: its request is answered with 500, if nothing has been sent."""
        self._warn(f"internal error while answering {request.method} {request.path.decode('latin-1')}: {error!r}")
        request.keep_alive = False
        request.respond(500, ())

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
