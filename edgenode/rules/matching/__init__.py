"""Which of many formulas are true? The engine that asks them all at once, and what can be said of one by itself."""
