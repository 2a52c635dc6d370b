"""How the towers are trained: resolve the parameters, then `loop.fit`: batch, negatives, scores, loss, step."""
