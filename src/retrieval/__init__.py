"""Two-tower retrieval: data, towers, ranking and evaluation, one noun of the field a file."""

import os

# How long an idle OpenMP thread spins before it sleeps. As libgomp has it by default, two busy processes fight over the
# cores and run many times slower; with no spinning at all a step of a small model takes half as long again. So long
# that two processes at once take no longer than one after the other. OpenMP reads this once, when the first library
# that uses it is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")
