"""How is it written? The INI notation, its schema, and the whole configuration checked."""
