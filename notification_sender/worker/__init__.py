"""Many: lanes with slots, what is in hand, and how it is settled. Knows the broker, does not do the work."""
