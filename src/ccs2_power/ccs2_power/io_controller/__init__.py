"""Control pilot and proximity by a serial I/O controller; docs/io-controller.md has the frames."""
