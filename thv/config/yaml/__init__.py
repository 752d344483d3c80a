"""Reads and edits one value of a YAML text: locate, splice, verify."""
