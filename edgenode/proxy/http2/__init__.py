"""HTTP/2 on client and origin connections (RFC 9113)."""
