"""Tests of proxy/origin."""
