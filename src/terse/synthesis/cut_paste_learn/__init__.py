"""Cut, Paste and Learn: objects and distractors at random, each scene in all blends (Dwibedi et al. 2017)."""
