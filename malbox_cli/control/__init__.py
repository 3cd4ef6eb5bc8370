"""What the commands and the supervisor say to each other, over a Unix socket, one JSON object a line."""
