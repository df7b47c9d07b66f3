"""WebSocket: the handshake, frames, messages, and the relay."""
