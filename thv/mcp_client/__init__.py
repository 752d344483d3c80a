"""A small MCP client: both protocol eras, over anything that carries lines, with a deadline on every reply.

`protocol` is pure: messages, and the negotiation of a protocol version as a generator that any driver can run.
`session` drives it over a blocking `Connection`. Knows nothing of the command line.
"""

RELAY_ERROR = "thv/error"
"""The notification in which a relay of thv's own tells its client, under `message`, why it cannot serve."""
