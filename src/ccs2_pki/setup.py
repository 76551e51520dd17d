from setuptools import find_packages, setup

setup(
    name='ccs2_pki',
    version='0.1.0',
    packages=find_packages(include=['ccs2_pki', 'ccs2_pki.*']),
    data_files=[
        ('share/ament_index/resource_index/packages', ['resource/ccs2_pki']),
        ('share/ccs2_pki', ['package.xml']),
    ],
    package_data={'ccs2_pki': ['py.typed']},
    install_requires=['setuptools', 'cryptography'],
    extras_require={'test': ['pytest', 'hypothesis'], 'pkcs11': ['python-pkcs11']},
    zip_safe=True,
    maintainer='CCS2 authors',
    maintainer_email='ccs2@example.org',
    description='Certificates, keys and signatures of a CCS2 charging station.',
    license='Apache-2.0',
    entry_points={
        'console_scripts': [
            'pki = ccs2_pki.pki_node:main',
            'ccs2-pki = ccs2_pki.cli:main',
        ],
    },
)
