"""The simulated platform, the inbox and the demo, for people who have none of it yet."""
