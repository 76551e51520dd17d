"""Run by the oracle's own interpreter: read streams, write what the oracle makes of them.

Each line of standard input is ``schema document|fragment hex``; each line of standard output is
a JSON object with ``json`` (the decoded stream), ``again`` (its encoding) and ``undeclared``, or
``error``.
"""

import json
import sys

sys.path.insert(0, sys.argv[1])
from oracle import Oracle, OracleError

oracle = Oracle()
for line in sys.stdin:
    schema, kind, stream = line.split()
    fragment = kind == 'fragment'
    # Literals only, as every charging protocol writes.
    options = 'frag,vpc0' if fragment else 'vpc0'
    try:
        info = oracle.info(schema, stream, opts=options)
        decoded = oracle.xml_to_json(schema, info['xml'])
        # The XML goes back rather than the JSON: the JSON has no namespaces, and where two
        # elements of one name are declared the oracle would take any.
        again = oracle.encode_xml(schema, info['xml'], opts=options)
        answer = {'json': decoded, 'again': again, 'undeclared': info['undeclared'],
                  'consumed': info['consumed']}
    except OracleError as error:
        answer = {'error': str(error)}
    print(json.dumps(answer))
oracle.close()
