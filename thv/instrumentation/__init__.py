"""Connects traffic to its observers: the tool-call ledger, usage analytics, user telemetry and the debug tally."""
