"""A complete test hierarchy: every certificate of a charging ecosystem, and every wrong one.

Nothing made here may be trusted outside a laboratory: all keys are in files.

* :mod:`~ccs2_pki.lab.issuing`: making certificates, OCSP responses and CRLs.
* :mod:`~ccs2_pki.lab.hierarchy`: the right ones, as a table.
* :mod:`~ccs2_pki.lab.wrong`: the wrong ones, as a table of single faults.
* :mod:`~ccs2_pki.lab.directory`: all of it as files.
"""
