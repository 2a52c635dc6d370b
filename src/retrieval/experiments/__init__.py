"""Commands on experiments: the leaderboard, the report of a pull request, exact re-runs, several seeds."""
