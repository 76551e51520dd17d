"""The car's side of a session (EVCC), without sockets or clocks: a table of steps per protocol."""
