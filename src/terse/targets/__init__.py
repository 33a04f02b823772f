"""The models to improve."""
