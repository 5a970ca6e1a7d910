"""Scores of generated imagery."""
