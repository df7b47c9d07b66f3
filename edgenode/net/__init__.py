"""How do bytes move? Sockets, TLS transport, poller, deadlines, descriptors."""
