"""A server process: spawned, signalled, ended, and never left behind. Knows nothing of what the bytes mean."""
