"""What is decided without any input or output: retries, tokens, the course of a call."""
