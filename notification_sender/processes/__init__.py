"""Several workers on one machine or in one pod: a small parent that starts, watches and restarts them."""
