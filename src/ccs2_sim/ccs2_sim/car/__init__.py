"""The virtual car: engines on real sockets, with a battery and a pilot, and with bad manners."""
