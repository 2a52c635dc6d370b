"""From the raw tables to train, test and cold interactions."""
