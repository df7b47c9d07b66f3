"""The PROXY protocol, versions 1 and 2, as a receiver and as a sender."""
