"""Tests of proxy/listener."""
