"""ISO 15118-20:2022: the message sets, one module per V2GTP payload type."""
