"""The examples run as printed."""
