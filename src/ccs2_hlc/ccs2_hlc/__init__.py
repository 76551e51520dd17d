"""High-level communication of a CCS2 charging station: EXI codec, message sets and sessions."""
