"""DC modules on a CAN bus, emulated: how they speak is here, what they do is the plant's."""
