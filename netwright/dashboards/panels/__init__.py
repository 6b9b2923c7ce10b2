"""The panels: one file each, found by itself."""
