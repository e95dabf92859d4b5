"""The simulated platform: an invented world, and the internal APIs that serve it."""
