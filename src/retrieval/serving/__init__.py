"""Recommendations over HTTP: model folders in, answers out."""
