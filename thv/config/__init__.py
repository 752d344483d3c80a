"""The user's YAML config file: read robustly, changed one value at a time."""
