"""Detectors of Hugging Face's transformers, by a folder of weights or by their configuration."""
