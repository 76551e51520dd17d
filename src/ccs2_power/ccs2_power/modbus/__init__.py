"""Isolation monitors and energy meters on Modbus; what differs between makers is data."""
