"""Start the simulated station, watch one connector, and let its car charge.

The demo, the benchmark and the whole-graph tests share these parts.
"""
