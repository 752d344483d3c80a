"""The user's local journal: a bounded SQLite store of how sessions and requests ended, on this machine only.

Sessions write it (`writer`, `session_journal`); `thv log`, `thv top`, `thv report` and `thv why` read it
(`journal_reader` and what stands on it). No arguments and no results are kept unless `--journal-capture` asks, and
nothing is ever sent. It never imports `thv.analytics`, which never imports it.
"""
