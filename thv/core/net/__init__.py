"""Network rules shared by every part: loopback, URLs, proxies, TLS trust, header names. No code at import."""
