"""How does it travel? Ports, the HTTP/1.1 connections on both sides, routing, forwarding, and the pools of origins."""
