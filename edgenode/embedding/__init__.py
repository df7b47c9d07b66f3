"""How do others use it? The endpoint, the filtered resource, the facts of a foreign connection."""
