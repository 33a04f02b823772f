"""Image classifiers: any module that returns logits, and the two of paper A.1."""
