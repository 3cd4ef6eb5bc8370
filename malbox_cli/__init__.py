"""The supervisor of malbox plugins and its commands."""
