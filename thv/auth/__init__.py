"""OAuth 2.1 for remote servers: logging in once with a browser, keeping the tokens, and refreshing them.

The flow is the one of MCP's authorization specification (2025-11-25). Knows nothing of MCP messages.
"""
