"""DC modules on a CAN bus: their protocols as data, one core for a group of modules, one driver."""
