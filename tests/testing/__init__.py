"""The tools for other people's tests."""
