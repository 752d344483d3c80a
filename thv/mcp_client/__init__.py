"""A small MCP client: both protocol eras, over anything that carries lines, with a deadline on every reply.

`protocol` is pure: messages, and the negotiation of a protocol version as a generator that any driver can run.
`session` drives it over a blocking `Connection`. Knows nothing of the command line.
"""

RELAY_ERROR = "thv/error"
"""The notification in which a relay of thv's own tells its client, under `message`, why it cannot serve."""

SERVER_ENDED = "thv/serverEnded"
"""The notification in which it tells that the server ended first: under `stays`, whether it closed its output only;
under `hasRead`, whether it read the last message."""
