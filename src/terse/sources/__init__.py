"""Where foregrounds, backgrounds and real images come from."""
