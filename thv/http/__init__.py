"""MCP over HTTP, on both sides. Nothing here is imported unless HTTP is asked for."""
