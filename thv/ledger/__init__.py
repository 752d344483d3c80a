"""Knows which tool calls are open and how each one that ended did. Pure: no I/O."""
