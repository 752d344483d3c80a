"""The floor every part may stand on: lines, messages, console, shared types. Imports nothing of thv but `errors`."""
