"""What the instruments are called in Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thv.telemetry.instruments import Instrument


def prometheus_name(instrument: Instrument) -> str:
    """The name of an instrument in Prometheus, without the suffixes of its samples.

    As the SDK's exporter makes it ("Prometheus and OpenMetrics Compatibility").
    """
    name = instrument.name.replace(".", "_")
    return f"{name}_seconds" if instrument.unit == "s" else name
