"""The `plant` process: the physical world of one connector behind a Unix socket."""
