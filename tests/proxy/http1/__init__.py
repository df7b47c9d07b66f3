"""Tests of proxy/http1."""
