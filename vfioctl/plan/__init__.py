"""What should be done: pure functions of a host and a request."""
