"""Texts that clients keep their servers in: JSON with and without comments, TOML, YAML. Reads positions, changes none."""
