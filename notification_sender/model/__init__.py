"""The nouns that are handed round: frozen data, no I/O, no clock."""
