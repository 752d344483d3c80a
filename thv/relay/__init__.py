"""Moves bytes between a client and a server process, unchanged. Knows nothing of JSON."""
