"""``make bench GROWTH=1``: what a message costs while one thing grows, and everything else stays as it is."""
