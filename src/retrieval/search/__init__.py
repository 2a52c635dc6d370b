"""Search for a model's best items: the catalogue, the indexes and their space, the recommender, the vector database."""
