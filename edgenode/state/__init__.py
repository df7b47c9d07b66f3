"""What is remembered between requests: counters, and the quarantine."""
