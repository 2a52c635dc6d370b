"""From raw tables to train and test."""
