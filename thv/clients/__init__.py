"""The configuration files of MCP clients: where they are, and how one entry of them is changed and changed back.

Promises: only the bytes of one entry change, and of it only the command and its arguments; the way back is computed
from the entry alone. Knows nothing of analytics, telemetry or sessions.
"""
