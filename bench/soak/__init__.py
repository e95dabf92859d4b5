"""``make soak``: workers at 70 % of capacity, a fault every minute, thousands of reconnects, and nothing grows."""
