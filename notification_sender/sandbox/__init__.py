"""A simulated platform, an inbox and a demo, for people who have no platform at hand."""
