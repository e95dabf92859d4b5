"""What each command prints of a living system in trouble, for ``docs/reference/commands.md``."""
