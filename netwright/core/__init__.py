"""What every other part shares: errors, plugins, configuration, records, seeds, clock, progress."""
