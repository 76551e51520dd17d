"""Temperatures that the kernel tells in a file: hwmon chips and the 1-wire bus."""
