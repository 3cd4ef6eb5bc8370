"""What travels between supervisor and plugin, as bytes and as values; pure, so that both sides can share it."""
