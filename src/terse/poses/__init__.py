"""The pose families of a recipe: the parameters of one kind of transform. Families chain.

Only settings stand here, so that a recipe is read without torch; the transforms are in `terse.compositing`.
"""
