"""Does it match? Fields, categories, sections, and how they are compiled."""
