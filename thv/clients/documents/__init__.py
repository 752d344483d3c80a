"""The formats of clients' files: JSON with and without comments, TOML, YAML. Finds positions, and changes nothing."""
