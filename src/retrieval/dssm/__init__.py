"""The two-tower model."""
