"""What the demo shows, keeps and refuses."""

import json
import math

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not set up')

from ccs2_interfaces.msg import ChargingSession, ControlPilot, PowerStatus, V2GTrace
from ccs2_link.transport.credentials import StoreCredentials
from station import demo, laboratory
from station.connector import Connector
from station.parameters import changed, direct_link
from station.record import Recorder, TraceFile, plot
from station.view import STAGES, View, minutes, number, plain

REQUEST, RESPONSE = V2GTrace.DIRECTION_REQUEST, V2GTrace.DIRECTION_RESPONSE


def trace(sequence, direction, **fields):
    return V2GTrace(connection_id=1, sequence=sequence, direction=direction, schema='din',
                    payload_type=0x8001, processing_time=math.nan, **fields)


def status(second, voltage, current):
    message = PowerStatus(voltage=voltage, current=current, power=voltage * current)
    message.header.stamp.sec = second
    return message


def test_the_trace_file_has_every_message_and_counts_the_missed_ones(tmp_path):
    path = tmp_path / 'trace.jsonl'
    file = TraceFile(path)
    file.add(trace(1, REQUEST, message='SessionSetupReq', exi=b'\x80\x9a', json='{"a": 1}'))
    file.add(trace(1, RESPONSE, message='SessionSetupRes', response_code='OK'))
    file.add(trace(3, RESPONSE))
    file.close()
    assert (file.messages, file.missed) == (3, 3)
    first, second, _ = map(json.loads, path.read_text().splitlines())
    assert (first['direction'], first['exi'], first['decoded']) == ('request', '809a', {'a': 1})
    assert (first['payload_type'], first['response_code']) == ('0x8001', None)
    assert (second['direction'], second['response_code']) == ('response', 'OK')


def test_the_recorder_keeps_the_curve_and_draws_it(tmp_path):
    recorder = Recorder(TraceFile(tmp_path / 'trace.jsonl'))
    for second in range(5):
        recorder('power/status', status(100 + second, 400.0, 10.0 * second))
    recorder.trace.close()
    assert [sample.time for sample in recorder.samples] == [0, 1, 2, 3, 4]
    assert recorder.samples[-1].power == 16_000.0
    plot(recorder.samples, tmp_path / 'plot.png', 'a charge')
    assert (tmp_path / 'plot.png').read_bytes().startswith(b'\x89PNG')


def test_the_view_says_what_is_not_known():
    view = View(target=0.8)
    assert '–' in plain(view)
    view('session', ChargingSession(stage=ChargingSession.STAGE_CHARGING))
    view('control_pilot', ControlPilot(state=ControlPilot.STATE_C))
    view('power/status', status(1, 400.0, 100.0))
    line = plain(view)
    for text in (STAGES[ChargingSession.STAGE_CHARGING], '400.0 V', '100.0 A', 'pilot C'):
        assert text in line
    assert (number(math.nan, 'V'), minutes(75.2)) == ('–', '1:15')


@pytest.mark.parametrize('words', [
    ['--protocol', 'chademo'], ['--auth', 'cash'], ['--power', 'nuclear'], ['--modules', 'infy'],
    ['--mode', 'turbo', '--protocol', 'iso20'], ['--mode', 'bpt'],
    ['--mode', 'bpt', '--protocol', 'iso20', '--power', 'can', '--modules', 'infy'],
    ['--mode', 'bpt', '--protocol', 'iso20', '--power', 'cabinet'],
    ['--modules', 'tesla', '--power', 'can'], ['--modules', 'infy', '--power', 'cabinet'],
    ['--power', 'cabinet', '--link', 'tap'], ['--soc', '1.5'], ['--soc', 'full']])
def test_an_option_that_makes_no_sense_is_named(words, capsys):
    with pytest.raises(SystemExit) as error:
        demo.options(words)
    assert error.value.code == 2
    assert words[0] in capsys.readouterr().err


@pytest.mark.parametrize(('words', 'power'), [
    ([], 'sim'), (['--power', 'cabinet'], 'cabinet'), (['--power', 'can'], 'infy'),
    (['--power', 'can', '--modules', 'huawei'], 'huawei')])
def test_the_modules_are_a_launch_argument(words, power):
    assert demo.supply(demo.options(words)) == power


def test_plug_and_charge_is_of_iso_15118(capsys):
    assert demo.options([]).protocol == 'din'
    assert demo.options(['--auth', 'pnc']).protocol == 'iso2'
    assert demo.options(['--protocol', 'iso2']).auth == 'eim'
    with pytest.raises(SystemExit):
        demo.options(['--protocol', 'din', '--auth', 'pnc'])
    assert 'no Plug & Charge' in capsys.readouterr().err


def test_iso_15118_20_has_modes_and_plug_and_charge():
    chosen = demo.options(['--protocol', 'iso20', '--mode', 'bpt-dynamic'])
    assert demo.bidirectional(chosen)
    assert not demo.bidirectional(demo.options(['--protocol', 'iso20', '--mode', 'dynamic']))
    assert demo.bidirectional(demo.options(
        ['--protocol', 'iso20', '--mode', 'bpt', '--power', 'can', '--modules', 'infy_beg']))
    assert demo.options(['--protocol', 'iso20', '--auth', 'pnc']).auth == 'pnc'


def test_both_directions_need_a_station_with_both(tmp_path):
    config = changed(tmp_path / 'both', laboratory.in_mode('bpt', 0.25))
    assert 'discharge_to: 0.25' in (config / 'car.yaml').read_text()
    assert 'supply.maximum_discharge_power: 40000.0' in (config / 'plant.yaml').read_text()
    assert 'maximum_discharge_current: 100.0' in (config / 'power.yaml').read_text()
    config = changed(tmp_path / 'one', laboratory.in_mode('dynamic', 0.25))
    assert 'mode: dynamic' in (config / 'car.yaml').read_text()
    for name in ('car', 'plant', 'power'):
        assert 'discharge' not in (config / f'{name}.yaml').read_text()


def test_certificates_of_the_demo_are_made_anew_and_fit(tmp_path):
    laboratory.make(tmp_path)
    first = (tmp_path / 'laboratory/iso2/certs/v2g_root.pem').read_bytes()
    laboratory.make(tmp_path)
    assert (tmp_path / 'laboratory/iso2/certs/v2g_root.pem').read_bytes() != first
    assert len(StoreCredentials(tmp_path / 'store').load().servers) > 0
    config = changed(tmp_path / 'config', laboratory.secured(tmp_path, 'pnc', 'install'))
    assert 'security: tls' in (config / 'v2g_transport.yaml').read_text()
    for name, texts in {'car.yaml': ('tls: "1.2"', 'authorization: pnc', 'acquisition: install'),
                        'hlc.yaml': ('contract_payment: local', 'certificate_service: true'),
                        'lifecycle_manager.yaml': ('contract_provisioning, hlc',)}.items():
        for text in texts:
            assert text in (config / name).read_text()


def test_changes_of_parameter_files_have_to_fit(tmp_path):
    config = changed(tmp_path / 'a', direct_link('eth9'))
    assert 'interface: eth9' in (config / 'plc_link.yaml').read_text()
    with pytest.raises(ValueError, match='does not say'):
        changed(tmp_path / 'b', [('plc_link.yaml', 'no such text', '')])


def test_a_connector_without_a_station_is_not_ready():
    from domain_coordinator import domain_id

    from station.processes import StationError
    with domain_id() as domain, Connector(domain=domain) as connector:
        assert '/connector_1/hlc' not in connector.nodes()
        with pytest.raises(StationError, match='no word from the lifecycle manager'):
            connector.wait_until_ready(0.2)
