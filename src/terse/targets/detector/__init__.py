"""Detectors with torchvision's interface: its own by name, and any module like them."""
