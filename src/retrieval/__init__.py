"""Two-tower retrieval: from raw tables to recommendations. Each package is one step of that way."""

import os

# How long an idle OpenMP thread spins before it sleeps. With libgomp's default, two busy processes fight over the cores
# and run many times slower; without spinning a step of a small model takes half as long again. With 3,000 two processes
# at once take no longer than one after the other. OpenMP reads this once, when the first library that uses it loads.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")
