"""Does it match? Fields, categories, sections, lists, and the formulas that all rules come down to."""
