"""The maintainers' anonymous usage counts: how many tool calls succeeded, how many failed, and nothing else.

`consent` decides whether any of it exists; `pipeline` counts and says when to send; `provider`, `exporter`, `otlp` and
`transport` are loaded late and turn two integers into one POST. Nothing here knows a tool, a server or a user, and
nothing here may import the user's telemetry.
"""
