"""Streams of bytes between a client and an origin, whatever is spoken on them."""
