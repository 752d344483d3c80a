"""The remote client: a server that is reached by HTTP, as if it were a local one on stdio."""
