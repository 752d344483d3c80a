"""The server side of HTTP/1.1: connections, requests, responses. Knows nothing of MCP."""
