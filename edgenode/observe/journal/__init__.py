"""The journal: events in files that are rotated, compressed, written as Parquet and asked questions."""
