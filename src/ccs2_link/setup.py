from setuptools import find_packages, setup

setup(
    name='ccs2_link',
    version='0.1.0',
    packages=find_packages(include=['ccs2_link', 'ccs2_link.*']),
    data_files=[
        ('share/ament_index/resource_index/packages', ['resource/ccs2_link']),
        ('share/ccs2_link', ['package.xml']),
    ],
    package_data={'ccs2_link': ['py.typed']},
    install_requires=['setuptools', 'cffi==2.1.1', 'pyOpenSSL==26.4.0'],
    extras_require={'test': ['pytest'], 'qca7000': ['gpiod==2.5.0', 'spidev==3.8']},
    zip_safe=True,
    maintainer='CCS2 authors',
    maintainer_email='ccs2@example.org',
    description='The link to the vehicle: PLC modem and SLAC, SDP, TCP, TLS and V2GTP.',
    license='Apache-2.0',
    entry_points={
        'console_scripts': [
            'plc_link = ccs2_link.plc_link_node:main',
            'v2g_transport = ccs2_link.v2g_transport_node:main',
        ],
    },
)
