"""The two-tower model: bodies and encoders make towers, towers make vectors, the scorer makes the two matrices."""
