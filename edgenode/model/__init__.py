"""What is judged, and the judgement: the values that travel between rooms."""
