"""Contactors, lock and emergency stop on GPIO lines (libgpiod 2)."""
