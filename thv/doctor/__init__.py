"""What is wrong with the servers in the clients' configuration: looked at, and with leave started as the client would.

Reads the files by `thv.clients`, changes nothing, and knows nothing of analytics, telemetry or the journal.
"""
