"""What the commands print, as text: an update becomes a line, a plugin a row, a result something to read."""
