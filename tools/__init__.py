"""Small checks of the text that ``make check`` runs; nothing here ships."""
