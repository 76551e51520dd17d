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


def _iso20(*, both: bool, dynamic: bool, contract: bool) -> Plan:
    service, control = 'DC_BPT' if both else 'DC', 'dynamic' if dynamic else 'scheduled'
    return Plan(f'ISO 15118-20, {service} {control}{", contract" if contract else ""}',
                'ISO_15118_20_DC', tls='TLSv1.3', contract=contract, service=service,
                dynamic=dynamic)


PLANS = {
    'din': Plan('DIN SPEC 70121', 'DIN_SPEC_70121'),
    'iso2': Plan('ISO 15118-2, TCP', 'ISO_15118_2'),
    'iso2_tls': Plan('ISO 15118-2, TLS', 'ISO_15118_2', tls='TLSv1.2'),
    'iso2_pnc': Plan('ISO 15118-2, TLS, contract', 'ISO_15118_2', tls='TLSv1.2', contract=True),
    'iso20_dc': _iso20(both=False, dynamic=False, contract=False),
    'iso20_dc_pnc': _iso20(both=False, dynamic=False, contract=True),
    'iso20_dc_dynamic': _iso20(both=False, dynamic=True, contract=False),
    'iso20_dc_dynamic_pnc': _iso20(both=False, dynamic=True, contract=True),
    'iso20_bpt': _iso20(both=True, dynamic=False, contract=False),
    'iso20_bpt_pnc': _iso20(both=True, dynamic=False, contract=True),
    'iso20_bpt_dynamic': _iso20(both=True, dynamic=True, contract=False),
    'iso20_bpt_dynamic_pnc': _iso20(both=True, dynamic=True, contract=True),
}
#: Those whose times are measured: of ISO 15118-20 the shortest and the longest messages.
MEASURED = ('din', 'iso2', 'iso2_tls', 'iso2_pnc', 'iso20_dc', 'iso20_bpt_dynamic_pnc')
