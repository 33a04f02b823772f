"""Simple shapes on textured backgrounds, drawn at run time: a detection task for tests and first tries."""
