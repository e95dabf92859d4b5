"""The incident of 6 March 2026, replayed: the design of that day and ours, on the same simulated platform."""
