"""Tests of proxy/http2."""
