"""The tests; folders as the rooms of the package."""
