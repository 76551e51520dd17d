import pytest

from ccs2_node import ConfigureError
from ccs2_power import devices
from ccs2_power import record as module
from ccs2_power.drivers import load_driver, parse_options
from ccs2_power.hal import DriverError, SupplyDriver
from ccs2_power.realtime import BeatMeter
from ccs2_power.record import (
    RETRY,
    NodeRecord,
    RecordError,
    RecordKeeper,
    load_record,
    save_record,
)


def test_a_record_comes_back(tmp_path):
    path = tmp_path / 'folder' / 'connector_1.json'
    assert load_record(path) == NodeRecord()
    record = NodeRecord((201, 601), 1234, 5)
    save_record(path, record)
    assert load_record(path) == record
    assert [entry.name for entry in path.parent.iterdir()] == ['connector_1.json']


@pytest.mark.parametrize('text', [
    '', '{', '[]', '{}',
    '{"contactor_cycles": -1, "contactor_cycles_under_load": 0, "held": []}',
    '{"contactor_cycles": true, "contactor_cycles_under_load": 0, "held": []}',
    '{"contactor_cycles": 1, "contactor_cycles_under_load": 0, "held": [7]}',
    '{"contactor_cycles": 1, "contactor_cycles_under_load": 0, "held": 201}'])
def test_a_broken_record_is_named(tmp_path, text):
    path = tmp_path / 'record.json'
    path.write_text(text)
    with pytest.raises(RecordError, match=r'record\.json'):
        load_record(path)


def test_a_power_cut_while_writing_leaves_the_old_record(tmp_path, monkeypatch):
    path = tmp_path / 'record.json'
    save_record(path, NodeRecord((), 1))

    def cut(*args):
        raise OSError('cut')

    monkeypatch.setattr(module.os, 'fsync', cut)
    with pytest.raises(RecordError, match='cut'):
        save_record(path, NodeRecord((), 2))
    assert load_record(path) == NodeRecord((), 1)


async def written(keeper):
    await keeper._saving


async def test_what_could_not_be_written_is_tried_again(tmp_path, monkeypatch):
    path = tmp_path / 'record.json'
    keeper = RecordKeeper(path)
    full = [True]

    def save(place, record):
        if full[0]:
            raise RecordError(f'{place}: no space left')
        save_record(place, record)

    monkeypatch.setattr(module, 'save_record', save)
    held = NodeRecord((201,), 5, 1)
    keeper.keep(held, 100.0)
    await written(keeper)
    assert 'no space left' in keeper.problem
    full[0] = False
    keeper.keep(held, 100.0 + RETRY / 2)
    await written(keeper)
    assert load_record(path) == NodeRecord()  # not at every beat
    keeper.keep(held, 100.0 + RETRY)
    await written(keeper)
    assert keeper.problem == ''
    assert load_record(path) == held
    # The next change does not wait.
    keeper.keep(NodeRecord((201,), 6, 1), 100.1 + RETRY)
    await written(keeper)
    assert RecordKeeper(path).record == NodeRecord((201,), 6, 1)


async def test_the_newest_record_is_written_at_the_end(tmp_path, monkeypatch):
    path = tmp_path / 'record.json'
    keeper = RecordKeeper(path)
    keeper.keep(NodeRecord((), 1), 0.0)
    keeper.keep(NodeRecord((), 2), 0.01)
    await keeper.close()
    assert load_record(path) == NodeRecord((), 2)
    path.write_text('no record')
    with pytest.raises(RecordError, match=r'record\.json'):
        RecordKeeper(path)
    monkeypatch.setattr(module, 'save_record', lambda *_: (_ for _ in ()).throw(RecordError('x')))
    keeper.keep(NodeRecord((), 3), 1.0)
    with pytest.raises(RecordError, match='x'):
        await keeper.close()


def test_options():
    assert parse_options(['', 'socket=/tmp/a=b', 'n=1']) == {'socket': '/tmp/a=b', 'n': '1'}
    for wrong in (['socket'], ['=1'], ['a=1', 'a=2']):
        with pytest.raises(DriverError):
            parse_options(wrong)


def test_a_driver_that_is_not_installed_is_named():
    with pytest.raises(DriverError, match="no driver 'nothing' is installed"):
        load_driver('nothing', SupplyDriver)


async def test_a_driver_that_is_not_chosen_leaves_none_open(monkeypatch):
    opened = []

    class Driver:
        async def open(self, parameters):
            opened.append(self)

        async def close(self):
            opened.remove(self)

    class Node:
        def parameter(self, *_):
            pass

        def value(self, name):
            if name == 'meter_driver':
                raise ConfigureError("parameter 'meter_driver' is not set")
            return [] if name.endswith('_options') else 'any'

    monkeypatch.setattr(devices, 'load_driver', lambda name, protocol: Driver())
    chosen = devices.Devices(Node(), {
        name: devices.Device(object, True, name) for name in ('supply', 'meter')})
    with pytest.raises(ConfigureError, match="'meter_driver' is not set"):
        await chosen.open()
    assert not opened
    assert not chosen.problems


def test_jitter():
    meter = BeatMeter(0.02)
    for now in (1.0, 1.02, 1.05, 1.06):
        meter.note(now)
    assert meter.take_worst() == pytest.approx(0.01)
    assert meter.take_worst() == 0.0
    assert meter.beats == 4
