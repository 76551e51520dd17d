"""Transport to the vehicle: SDP, TCP, TLS and V2GTP (ISO 15118-2 clause 7, ISO 15118-20 clause 7).

Cores, without sockets or clocks: :mod:`~ccs2_link.transport.v2gtp` (framing),
:mod:`~ccs2_link.transport.sdp` (discovery and security policy),
:mod:`~ccs2_link.transport.connection` (one connection) and
:mod:`~ccs2_link.transport.endpoint` (who may connect, and when). Drivers on asyncio:
:mod:`~ccs2_link.transport.sockets` and :mod:`~ccs2_link.transport.server`.
"""
