"""The HTTP front of a server that speaks lines: sessions, streams, and which message belongs where."""
