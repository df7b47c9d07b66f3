"""Events for other systems: read from the journal, sent in batches, at least once."""
