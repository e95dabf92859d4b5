"""The exit codes of all commands, besides 0 and typer's 2."""

PROBLEM_FOUND = 1
MISCONFIGURED = 78
"""EX_CONFIG of sysexits.h."""
