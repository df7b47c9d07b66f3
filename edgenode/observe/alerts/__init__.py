"""Conditions on events over time, raised and resolved."""
