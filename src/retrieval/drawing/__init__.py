"""The pictures of the evaluation, as PNG files."""
