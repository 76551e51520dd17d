from setuptools import Extension, find_packages, setup

package_name = 'ccs2_hlc'

setup(
    name=package_name,
    version='0.1.0',
    packages=find_packages(include=[package_name, f'{package_name}.*']),
    package_data={f'{package_name}.exi': ['*.pyx', '*.pxd', '*.pxi', '*.pyi']},
    # No cythonize() here: what it prints breaks colcon's reading of the metadata.
    ext_modules=[Extension(
        'ccs2_hlc.exi.engine', ['ccs2_hlc/exi/engine.pyx'], extra_compile_args=['-O3'],
        depends=[f'ccs2_hlc/exi/{part}' for part in ('bits.pxd', 'reading.pxi', 'writing.pxi')])],
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{package_name}']),
        (f'share/{package_name}', ['package.xml']),
    ],
    install_requires=['setuptools'],
    extras_require={'test': ['pytest']},
    zip_safe=False,
    maintainer='CCS2 authors',
    maintainer_email='ccs2@example.org',
    description='EXI codec, message sets and sessions of DIN SPEC 70121 and ISO 15118.',
    license='Apache-2.0',
    entry_points={'console_scripts': [
        'exi = ccs2_hlc.exi.cli:main',
        'hlc = ccs2_hlc.hlc_node:main',
    ]},
)
