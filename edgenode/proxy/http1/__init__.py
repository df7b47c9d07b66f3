"""HTTP/1.1 (RFC 9112) on both sides: heads, bodies, the connection to a client, the connection to an origin."""
