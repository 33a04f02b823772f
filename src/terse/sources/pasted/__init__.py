"""Composites instead of annotated photographs: a synthetic test of views that were not pasted."""
