"""Composites in the place of annotated photographs: a synthetic test of views that were not pasted."""
