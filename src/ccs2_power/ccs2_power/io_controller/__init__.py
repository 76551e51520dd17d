"""Control pilot and proximity by an I/O controller; docs/io-controller.md has the frames."""
