"""Tests of the PROXY protocol."""
