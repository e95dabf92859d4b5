"""What operators see: one wide event an attempt, and metrics that derive from it."""
