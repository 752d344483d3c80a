"""The reverse proxy in front of a server that speaks HTTP itself: bytes stream through, calls are counted."""
