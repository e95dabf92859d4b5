"""The decisions: pure functions of state, facts, now and dice."""
