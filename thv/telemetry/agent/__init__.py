"""The agent: a process that takes frames on its stdin and exports them with OpenTelemetry's SDK.

The SDK does the queueing, the intervals, the encoding and the requests. Own code stands where it cannot keep a promise:
`batch_delivery` holds what a collector does not take, `otlp_http_exporter` and `otlp_grpc_exporter` find out why,
`diagnostics` reports it, and `__main__` bounds the end. It reads no `OTEL_*` variable and never writes to stdout.
"""
