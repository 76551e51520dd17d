"""Charging sessions: the negotiation of the protocol and one engine per protocol.

Nothing here does I/O: decoded requests, the monotonic time and what the station measures go in;
responses, commands to the power stage and deadlines come out.
"""
