"""Digits: MNIST to paste and to train on, affNIST or the like of it to be judged by (paper 4.1)."""
