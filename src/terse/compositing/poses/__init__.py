"""Pose families: the parameters of one kind of transform, and the transform. Families chain."""
