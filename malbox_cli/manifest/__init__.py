"""The manifest: TOML text to frozen specs, with every problem at once; only `load` and `scaffold` touch the disk."""
