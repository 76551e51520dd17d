from pathlib import Path

from setuptools import setup

SHARE = 'share/ccs2_bringup'


def files(*folders):
    """Return the data files of folders, each at the same place below the share folder."""
    found = {}
    for folder in folders:
        for path in sorted(Path(folder).rglob('*')):
            if path.is_file():
                found.setdefault(f'{SHARE}/{path.parent}', []).append(str(path))
    return sorted(found.items())


setup(
    name='ccs2_bringup',
    version='0.1.0',
    packages=[],
    data_files=[
        ('share/ament_index/resource_index/packages', ['resource/ccs2_bringup']),
        (SHARE, ['package.xml']),
        (f'{SHARE}/launch', sorted(str(path) for path in Path().glob('*.launch.xml'))),
        *files('config', 'systemd', 'udev'),
    ],
    install_requires=['setuptools'],
    zip_safe=True,
    maintainer='CCS2 authors',
    maintainer_email='ccs2@example.org',
    description='Launch files, parameter files and service files of the CCS2 charging station.',
    license='Apache-2.0',
)
