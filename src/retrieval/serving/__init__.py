"""Recommendations over HTTP: reads model folders, answers requests."""
