from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccs2_power.command import ChargeCommand, Mode
from ccs2_power.hal import SupplyLimits
from ccs2_power.isolation import IsolationEdition, IsolationState, isolation_verdict
from ccs2_power.limits import NO_LIMITS, Derating, approach, bounds, clamp, station_limits
from ccs2_power.settings import PowerSettings, SafetySettings
from ccs2_power.voltage import over_voltage_threshold

amount = st.floats(0.0, 2000.0)
maybe = st.one_of(st.none(), amount)
limits = st.builds(
    SupplyLimits, amount, amount, amount, amount, st.floats(0.0, 1e6), amount,
    st.floats(0.0, 1e6))


@given(limits, limits, st.floats(0.0, 1.0), amount, st.floats(-2000.0, 2000.0), maybe, maybe,
       maybe, maybe, maybe, amount)
def test_no_set_point_exceeds_any_limit(
        configured, supply, factor, voltage, current, maximum_voltage, maximum_current,
        maximum_power, maximum_discharge_current, maximum_discharge_power, measured):
    command = ChargeCommand(
        publisher=1, sequence=1, lease=0.5, mode=Mode.CHARGE, session_id='01',
        target_voltage=voltage, target_current=current, maximum_voltage=maximum_voltage,
        maximum_current=maximum_current, maximum_power=maximum_power,
        maximum_discharge_current=maximum_discharge_current,
        maximum_discharge_power=maximum_discharge_power)
    station = station_limits(configured, supply, factor)
    point = clamp(command, station, bounds(command, station, measured), measured)
    for limit in (configured.maximum_voltage, supply.maximum_voltage, maximum_voltage, voltage):
        assert limit is None or point.voltage <= limit
    if point.current > 0.0:
        for limit in (configured.maximum_current, supply.maximum_current, maximum_current):
            assert limit is None or point.current <= limit
        for limit in (configured.maximum_power, supply.maximum_power, maximum_power):
            assert limit is None or point.current * measured <= limit * (1 + 1e-9)
    elif point.current < 0.0:
        assert maximum_discharge_current
        assert maximum_discharge_power
        for limit in (configured.maximum_discharge_current, supply.maximum_discharge_current,
                      maximum_discharge_current):
            assert -point.current <= limit
        assert -point.current * measured <= maximum_discharge_power * (1 + 1e-9)
    assert abs(point.current) <= abs(current)


def test_a_supply_that_does_not_tell_can_do_nothing():
    configured = SupplyLimits(50.0, 920.0, 0.0, 200.0, 60e3)
    assert station_limits(configured, None, 1.0) == NO_LIMITS


@given(st.floats(-500.0, 500.0), st.floats(-500.0, 500.0), st.floats(0.0, 50.0))
def test_approach_never_overshoots(value, target, step):
    after = approach(value, target, step)
    assert abs(after - value) <= step + 1e-9
    assert min(value, target) <= after <= max(value, target)


def test_derating():
    derating = Derating(60.0, 80.0)
    assert [derating.factor(t) for t in (20.0, 60.0, 70.0, 80.0, 200.0)] == [1, 1, 0.5, 0, 0]


@pytest.mark.parametrize(('edition', 'ohm', 'state'), [
    ('2023', 99e3, IsolationState.FAULT), ('2023', 100e3, IsolationState.VALID),
    ('2014', 99e3, IsolationState.FAULT), ('2014', 100e3, IsolationState.WARNING),
    ('2014', 499e3, IsolationState.WARNING), ('2014', 500e3, IsolationState.VALID),
    ('2014', float('inf'), IsolationState.VALID),
])
def test_isolation_verdict_for_1000_v(edition, ohm, state):
    assert isolation_verdict(ohm, 1000.0, IsolationEdition(edition)) is state


@pytest.mark.parametrize(('maximum', 'threshold'), [
    (500.0, 550.0), (501.0, 825.0), (750.0, 825.0), (850.0, 935.0), (1000.0, 1100.0),
    (1001.0, 1375.0)])
def test_over_voltage_threshold(maximum, threshold):
    assert over_voltage_threshold(maximum) == threshold


@pytest.mark.parametrize('changes', [
    {'isolation_edition': '2019'}, {'derating_start': 75.0}, {'contact_derating_end': 70.0}])
def test_settings_that_make_no_sense(changes):
    with pytest.raises(ValueError, match=r'2019|has to be above'):
        PowerSettings(**{'rated_voltage': 920.0, 'maximum_current': 100.0,
                         'maximum_power': 1e4} | changes)


@pytest.mark.parametrize('settings', [PowerSettings, SafetySettings])
def test_the_readme_lists_every_parameter(settings):
    readme = (Path(__file__).parents[1] / 'README.md').read_text(encoding='utf-8')
    for field in fields(settings):
        default = field.metadata['default']
        shown = 'none: has to be set' if isinstance(default, type) else f'`{default}`'
        row = f'| {shown} | {field.metadata["description"]} |'
        assert f'| `{field.name}` | ' in readme
        assert row in readme, field.name
