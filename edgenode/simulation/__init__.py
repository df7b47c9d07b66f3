"""What would it do? Requests that nobody has sent, judged as the node would."""
