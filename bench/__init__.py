"""``make bench``: what a message costs, as a ratio to the least that the same libraries can do in the same run."""
