"""WebSocket (RFC 6455, RFC 8441): the handshake, a walk along frame headers, and the relay between two ends."""
