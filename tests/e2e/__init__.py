"""End to end: a node, real sockets, real TLS."""
