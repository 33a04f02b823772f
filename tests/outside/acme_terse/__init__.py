"""What an installed package adds to terse: one file each, found by its entry point."""
