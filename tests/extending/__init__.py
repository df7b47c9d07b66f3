"""Extensions, from outside the package: distributions of their own that use public names alone."""
