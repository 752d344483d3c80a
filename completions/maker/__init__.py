"""Makes the completion scripts in `completions/` from thv's own tables: `python -m completions.maker`."""
