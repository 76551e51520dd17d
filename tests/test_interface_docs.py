"""docs/interfaces.md says what the interface files say."""

import importlib

import interface_docs
import pytest


def test_the_page_is_current():
    assert interface_docs.PAGE.read_text() == interface_docs.page(), "run 'make docs'"


@pytest.mark.parametrize(('folder', 'parts'), [(kind[0], kind[2]) for kind in interface_docs.KINDS])
def test_the_page_has_every_field_and_constant_of_the_built_interfaces(folder, parts):
    pytest.importorskip('rclpy', reason='ROS 2 is not set up')
    module = importlib.import_module(f'ccs2_interfaces.{folder}')
    names = [name for name in dir(module) if name[0].isupper()]
    paths = sorted((interface_docs.INTERFACES / folder).glob(f'*.{folder}'))
    assert [path.stem for path in paths] == sorted(
        name for name in names if not name.endswith(('_Request', '_Response', '_Event')))
    for path in paths:
        built = getattr(module, path.stem)
        for part, entries in zip(parts, interface_docs.parse(path), strict=True):
            kind = getattr(built, part) if part else built
            fields = [entry.name for entry in entries.entries() if entry.value is None]
            assert fields == list(kind.get_fields_and_field_types()), path
            for entry in entries.entries():
                if entry.value is not None:
                    assert getattr(kind, entry.name) == int(entry.value), (path, entry.name)


def test_a_bad_line_is_named(tmp_path):
    bad = tmp_path / 'Bad.msg'
    bad.write_text('uint8 fine\nnot a field at all\n')
    with pytest.raises(interface_docs.InterfaceError, match=r'Bad\.msg:2'):
        interface_docs.parse(bad)


@pytest.mark.parametrize(('comment', 'split'), [
    ('V at the output', ('V', 'at the output')),
    ('A, positive into the vehicle', ('A', 'positive into the vehicle')),
    ('V', ('V', '')),
    ('Vehicle', ('', 'Vehicle')),
    ('ratio 0..1 at the end', ('ratio 0..1', 'at the end')),
])
def test_units_are_told_from_words(comment, split):
    assert interface_docs.split_unit(comment) == split
