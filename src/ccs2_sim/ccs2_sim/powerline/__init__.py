"""The virtual power line: modems with firmware, a lossy line between them, and a fake SPI bus."""
