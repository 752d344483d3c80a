"""thv runs MCP servers and tells its user, and nobody else, what happened.

Only the version lives here: reading it must cost nothing, because every command imports this package.
"""

__version__ = "0.1.0"
