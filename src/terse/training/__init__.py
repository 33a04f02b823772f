"""The lock-step run (paper 3.4)."""
