from setuptools import setup

setup(
    name='ccs2_node',
    version='0.1.0',
    packages=['ccs2_node'],
    data_files=[
        ('share/ament_index/resource_index/packages', ['resource/ccs2_node']),
        ('share/ccs2_node', ['package.xml']),
    ],
    package_data={'ccs2_node': ['py.typed']},
    install_requires=['setuptools'],
    extras_require={'test': ['pytest']},
    zip_safe=True,
    maintainer='CCS2 authors',
    maintainer_email='ccs2@example.org',
    description='What every node of the CCS2 charging station shares.',
    license='Apache-2.0',
    entry_points={
        'console_scripts': [
            'lifecycle_manager = ccs2_node.lifecycle_manager:main',
        ],
    },
)
