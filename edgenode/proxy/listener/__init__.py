"""The client's side of the proxy: listening port, client connection, limits."""
