"""The Kubernetes operator (extra `operator`): turns each MCPServer into what runs it, and says truly how it is.

Read it from `controller` (kopf) over `reconcile` (one idempotent function, effects) to what is pure:
`mcpserver_spec`, `resources`, `pod`, `pod_settings`, `status`. It knows nothing of analytics but whether they are
wanted: who consents is handed in by the command line.
"""
