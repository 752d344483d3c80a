"""The user's own telemetry: what they asked for, to where they asked, and never a word to anyone else.

In the relay's process: `settings`, `recorder` and what they need. In a process of its own: `agent`, with everything of
OpenTelemetry. `frames` is what the two say to each other. Nothing here knows that usage analytics exist.
"""
