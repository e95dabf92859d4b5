"""The data types that all layers share: frozen, without I/O and without a clock."""
