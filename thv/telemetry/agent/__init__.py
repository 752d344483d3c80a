"""The agent: a process of its own that takes frames on its stdin and hands telemetry to the user's collector.

What it exports it encodes straight into OTLP's protobuf messages. It reads no `OTEL_*` variable, logs nothing, and
never writes to stdout; a stalled collector costs spans, which are counted, never memory. At the end of its stdin it
has `service.FAREWELL_S` to deliver what is left.
"""
