"""The sessions that the peer's car drives."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """One session, in the peer's terms."""

    #: What a person calls it.
    title: str
    #: Member of the peer's enumeration of protocols.
    protocol: str
    #: TLS version as OpenSSL names it; empty: TCP.
    tls: str = ''
    #: Pays by Plug & Charge.
    contract: bool = False
    #: Energy service of ISO 15118-20.
    service: str = 'DC'
    #: ISO 15118-20: the station decides about the power.
    dynamic: bool = False


PLANS = {
    'din': Plan('DIN SPEC 70121', 'DIN_SPEC_70121'),
    'iso2': Plan('ISO 15118-2, TCP', 'ISO_15118_2'),
    'iso2_tls': Plan('ISO 15118-2, TLS', 'ISO_15118_2', tls='TLSv1.2'),
    'iso2_pnc': Plan('ISO 15118-2, TLS, contract', 'ISO_15118_2', tls='TLSv1.2', contract=True),
    'iso20_dc': Plan('ISO 15118-20, DC scheduled', 'ISO_15118_20_DC', tls='TLSv1.3'),
    'iso20_bpt': Plan('ISO 15118-20, DC_BPT dynamic, contract', 'ISO_15118_20_DC',
                      tls='TLSv1.3', contract=True, service='DC_BPT', dynamic=True),
}
