"""What is counted of a node, in the names of Prometheus."""
