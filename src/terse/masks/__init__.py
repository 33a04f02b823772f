"""Masks for objects that have boxes only: cut out, scored, looked at, and dropped where they are bad."""
