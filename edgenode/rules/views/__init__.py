"""What is there to look at? Requests, certificates and places as the fields read them."""
