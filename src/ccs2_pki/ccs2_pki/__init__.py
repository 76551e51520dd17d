"""Certificates, keys and signatures of a CCS2 charging station.

The modules below hold no ROS code; only :mod:`ccs2_pki.node` does.

* :mod:`~ccs2_pki.certificate`, :mod:`~ccs2_pki.chains`, :mod:`~ccs2_pki.revocation`: reading and
  checking certificates.
* :mod:`~ccs2_pki.signatures`, :mod:`~ccs2_pki.key_transport`: Plug & Charge cryptography, bytes in
  and bytes out.
* :mod:`~ccs2_pki.store`, :mod:`~ccs2_pki.keys`, :mod:`~ccs2_pki.tokens`: what is kept on disk.
* :mod:`~ccs2_pki.provisioning`: the operations that the node and the command line share.
* :mod:`~ccs2_pki.lab`: a complete test hierarchy.
"""
