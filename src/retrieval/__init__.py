"""Two-tower retrieval: data, towers, ranking and evaluation, one noun of the field a file."""

import os

# Two busy processes whose idle OpenMP threads spin fight over the cores and run many times slower; sleeping threads
# do not. OpenMP reads this once, when the first library that uses it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
