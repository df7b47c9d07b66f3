"""Whether what a configuration says makes sense."""
