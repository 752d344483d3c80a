"""What SERVER means on the command line: a launch spec from a name, uvx://, npx://, a path or a command."""
