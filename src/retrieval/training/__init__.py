"""How the towers are trained."""
