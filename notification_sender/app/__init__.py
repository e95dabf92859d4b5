"""The application: the only room that knows every concrete class.

Nothing is imported here: a worker would import what only the other commands use (``commands``).
"""
