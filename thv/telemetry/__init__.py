"""The user's own telemetry: recorded in the relay's process, exported by another one, to where the user said.

In the relay's process: `telemetry_settings`, `recorder` and what they need, none of which imports OpenTelemetry. In a
process of its own: `agent`, with the SDK and its exporters. `frames` is the protocol between the two. Nothing here
knows that usage analytics exist.
"""
