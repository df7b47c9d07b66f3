"""Streams: what is relayed, judged, cut and told."""
