"""Recommendations over HTTP, from model folders."""
