"""What the user asked of thv itself for one run, whatever carries the messages, and the instrumentation made of it.

On the start path of `thv run`: nothing slow is imported before the server runs.
"""

from __future__ import annotations

from thv.cli.resolve_telemetry import resolve_telemetry, usage_analytics
from thv.core.console import warn
from thv.core.frozen import Frozen
from thv.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

    from thv.instrumentation.instrumentation import Instrumentation, MakeAnalytics
    from thv.telemetry.telemetry_settings import TelemetrySettings


class InstrumentationOptions(Frozen):
    """What to observe in one run, and for whom.

    Attributes:
        server: what people call the server.
        debug: say on stderr what thv does, and every analytics payload.
        usage_analytics: what the command line says of usage analytics; None where it is silent.
        server_environ: the environment that the server is given: a no to usage analytics in it is one, too.
        telemetry: what the user's own telemetry is to do; None for nothing.
        journal: what the user's journal calls the server, and whether it keeps arguments and results; None for none.
        warnings: what to tell the user about all that.
        is_demo: the server is thv's own demo, whose calls are no real usage.
        make_analytics: makes the analytics pipeline, in place of `UsageAnalytics`; for the launcher of the tests.
    """

    server: str
    debug: bool = False
    usage_analytics: bool | None = None
    server_environ: Mapping[str, str] | None = None
    telemetry: TelemetrySettings | None = None
    journal: tuple[str, bool] | None = None
    warnings: tuple[str, ...] = ()
    is_demo: bool = False
    make_analytics: MakeAnalytics | None = None


def resolve_options(
    server: str,
    otel: Mapping[str, str],
    *,
    debug: bool,
    journal: tuple[str, bool] | None,
    is_demo: bool = False,
    server_environ: Mapping[str, str] | None = None,
    make_analytics: MakeAnalytics | None = None,
) -> InstrumentationOptions:
    """Join the command line, the variables and the config file.

    Args:
        server: what people call the server.
        otel: the text that each ``--otel-`` option gives its setting; checked.
        debug: as for `InstrumentationOptions`.
        journal: the same.
        is_demo: the same.
        server_environ: the same.
        make_analytics: the same.

    Raises:
        SettingError: what is asked for contradicts itself.
        ThvError: this installation lacks what it needs.
    """
    telemetry, warnings = resolve_telemetry(otel, server=server, debug=debug)
    return InstrumentationOptions(
        server,
        debug=debug,
        usage_analytics=usage_analytics(otel),
        server_environ=server_environ,
        telemetry=telemetry,
        journal=journal,
        warnings=tuple(warnings),
        is_demo=is_demo,
        make_analytics=make_analytics,
    )


def journal_option(server: str, *, no_journal: bool, journal_capture: bool) -> tuple[str, bool] | None:
    """What ``--no-journal`` and ``--journal-capture`` come to: the `journal` of `InstrumentationOptions`.

    Raises:
        UsageError: both were given.
    """
    if no_journal and journal_capture:
        raise UsageError("--no-journal and --journal-capture exclude each other")
    return None if no_journal else (server, journal_capture)


class InstrumentedRun:
    """Makes the instrumentation of a run on asyncio, and closes it when the run is over. Enter it on the main thread.

    A plain session on stdio makes its own, on a side thread: see `thv.stdio_session`.

    Args:
        options: what to observe.
        transport: as for `Instrumentation`.

    Attributes:
        instrumentation: there once the block is entered.
        activity: set it to what tells a number that changes whenever traffic passes.
    """

    instrumentation: Instrumentation

    def __init__(self, options: InstrumentationOptions, transport: str) -> None:
        self._options = options
        self._transport = transport
        self.activity: Callable[[], int] | None = None

    def __enter__(self) -> Self:
        import threading  # noqa: F401  here, on the main thread: its first importer becomes what Python takes for that

        from thv.instrumentation.instrumentation import Instrumentation

        options = self._options
        self.instrumentation = Instrumentation(
            activity=lambda: self.activity() if self.activity is not None else 0,
            is_demo=options.is_demo,
            debug=options.debug,
            usage_analytics=options.usage_analytics,
            server_environ=options.server_environ,
            telemetry=options.telemetry,
            transport=self._transport,
            journal=options.journal,
            warnings=options.warnings,
            make_analytics=options.make_analytics,
        )
        self.instrumentation.emit_warnings()
        return self

    def __exit__(self, *_: object) -> None:
        self.instrumentation.close()

    @property
    def report(self) -> Callable[[str], None] | None:
        """Says what is worth knowing, if that was asked for."""
        return warn if self._options.debug else None
