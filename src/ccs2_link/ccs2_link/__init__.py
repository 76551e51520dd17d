"""The link to the vehicle: PLC modem and SLAC, then SDP, TCP, TLS and V2GTP on top of it."""
