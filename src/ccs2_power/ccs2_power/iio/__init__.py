"""ADCs and temperature sensors of the kernel's industrial I/O subsystem (IIO), by their files."""
