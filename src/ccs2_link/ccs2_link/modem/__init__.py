"""Modem drivers: thin owners of one way onto the power line each."""
