"""Commands on experiments: the pipeline, the leaderboard, the report of a pull request, verification, several seeds."""
