"""A fleet of up to 1,000 pods in virtual time: scaled on the useful demand, and on the depth of its queue."""
