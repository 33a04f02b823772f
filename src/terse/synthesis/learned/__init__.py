"""The paper's synthesizer: a network that learns where and how to paste so that the target fails."""
