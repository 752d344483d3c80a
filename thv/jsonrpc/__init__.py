"""Reads the JSON-RPC messages that pass and knows how each tool call ended. Pure: no I/O."""
