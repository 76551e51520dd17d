"""EXI as DIN SPEC 70121 and ISO 15118 use it: typed messages to bytes and back."""
