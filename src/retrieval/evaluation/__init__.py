"""How good a model is: metrics, error bars, plots."""
