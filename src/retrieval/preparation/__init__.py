"""From the raw tables to the train, test and cold interactions."""
