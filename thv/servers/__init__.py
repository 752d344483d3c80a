"""What SERVER means on the command line.

A name, uvx://, npx://, docker://, a path or a command become a launch spec; an http:// or https:// URL becomes a remote
spec.
"""
