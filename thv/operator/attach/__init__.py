"""The way to a stdio server in another container of the pod: a WebSocket to the API server, as `interfaces.Backend`."""
