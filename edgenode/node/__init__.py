"""Who holds it together? Service, assembly, file watch, events, control."""
