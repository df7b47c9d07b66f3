"""What does a person type? One module a command: arguments and printing."""
