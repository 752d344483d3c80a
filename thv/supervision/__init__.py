"""`thv run --restart` and `--call-timeout`: a server on stdio is started again when it dies, and calls time out."""
