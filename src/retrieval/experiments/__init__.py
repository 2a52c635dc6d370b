"""Commands on experiments: the leaderboard, the report of a pull request, verification, several seeds."""
