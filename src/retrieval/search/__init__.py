"""Finding a model's best items: the catalogue, nearest-neighbour indexes, the recommender."""
