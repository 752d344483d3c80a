"""Asks every source whether usage analytics may be sent: for the pipeline, the commands, and every new session.

The only module where the config file, the environment and the remembered no meet `thv.analytics.consent`. The pipeline
is handed `UsageConsent.is_given` and nothing else of this. Imports nothing slow: every command ends here.
"""

from __future__ import annotations

from thv.analytics import consent
from thv.analytics.constants import OFF_MARK
from thv.core.remembered import RememberedNo
from thv.core.state_dir import user_state_dir

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from thv.analytics.consent import Consent
    from thv.config.reader import Signature
    from thv.core.interfaces import BooleanReading


class UsageConsent:
    """Consent of one process, asked as often as needed.

    Args:
        environ: the process's environment.
        flag: what the command line says; None where it is silent.
        server_environ: the variables that the server is given by ``-e`` and ``--env-file``.
        state_dir: where a remembered no is kept.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        flag: bool | None = None,
        server_environ: Mapping[str, str] | None = None,
        state_dir: Callable[[], str] = user_state_dir,
    ) -> None:
        from thv.config.settings import config_path

        self._environ = environ
        self._flag = flag
        self._server_environ = server_environ
        self._mark = RememberedNo(OFF_MARK, state_dir)
        self._path = config_path(environ)
        self._reading: BooleanReading | None = None
        self._signature: Signature | None = None

    def decide(self) -> Consent:
        """Ask every source now. While the config file is unchanged, that costs one `stat` of it and one of the mark."""
        return consent.decide(
            self._environ,
            self._read,
            flag=self._flag,
            server_environ=self._server_environ,
            remembered=self._remembered,
        )

    def answers(self) -> list[Consent]:
        """The decision, and every further source that says no, see `consent.answers`."""
        return list(
            consent.answers(
                self._environ,
                self._read,
                flag=self._flag,
                server_environ=self._server_environ,
                remembered=self._remembered,
            )
        )

    def is_given(self) -> bool:
        """Whether usage analytics may be sent now; for the pipeline, which asks before each export."""
        return self.decide().enabled

    def settle(self) -> None:
        """Remember a no of the environment while the file is silent, and forget a remembered one once it says yes."""
        refused = consent.refusal_to_remember(self._environ)
        if (refused is not None) == self._mark.holds():
            return  # remembered already, or nothing to remember
        reading = self._read()
        self._mark.settle(refused=refused, in_file=False if reading.problem is not None else reading.value)

    def warnings(self) -> list[str]:
        """One line for each key of the config file that thv does not know."""
        from thv.config.boolean_reading import unknown_keys

        return unknown_keys(self._path)

    def _remembered(self) -> str | None:
        return (self._mark.reason() or "a no") if self._mark.holds() else None

    def _read(self) -> BooleanReading:
        from thv.config import reader

        signature = reader.signature(self._path)
        if self._reading is None or signature is None or signature != self._signature:
            from thv.config.boolean_reading import read_consent

            self._reading, self._signature = read_consent(self._path, is_named=_is_named(self._environ)), signature
        return self._reading


def _is_named(environ: Mapping[str, str]) -> bool:
    return bool(environ.get("TOOLHIVE_CONFIG"))
