"""What comes from outside? Fetching, keeping and reading of feeds and databases."""
