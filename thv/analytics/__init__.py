"""Anonymous, opt-out usage analytics: one counter, one attribute, one fixed endpoint.

PRIVATE by construction: this package is handed outcomes (`thv.ports.Outcome`) and nothing else, and never imports
`thv.telemetry`, which never imports it.
"""
