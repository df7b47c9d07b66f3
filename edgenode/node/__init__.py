"""Who holds it together? Service, assembly, file watch, control, processes."""
