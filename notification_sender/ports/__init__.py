"""What the worker needs from the world, in its own words. Adapters implement these; no foreign exception crosses them.

An adapter whose service is away raises ``Unready``. Durations are in seconds; epoch times count from 1970 (UTC).
"""
