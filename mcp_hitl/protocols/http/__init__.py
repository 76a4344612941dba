"""What every front-end that speaks HTTP shares: the listener, the loopback check, and headers."""
