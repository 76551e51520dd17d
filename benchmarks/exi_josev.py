"""Run by the interpreter that has Josev: time its codec on the messages of standard input.

Each line is ``schema hex``; each answer is ``@`` and a JSON list of µs to decode and to encode,
or a text if it refuses the message.
"""

import json
import logging
import statistics
import sys
import time
from collections.abc import Callable

from iso15118.shared.exi_codec import EXI  # type: ignore[import-not-found]
from iso15118.shared.exificient_exi_codec import ExificientEXICodec  # type: ignore[import-not-found]
from iso15118.shared.messages.enums import Namespace  # type: ignore[import-not-found]
from iso15118.shared.settings import load_shared_settings  # type: ignore[import-not-found]

logging.disable(logging.CRITICAL)
NAMESPACES = {
    'sap': Namespace.SAP, 'din': Namespace.DIN_MSG_DEF, 'iso2': Namespace.ISO_V2_MSG_DEF,
    'iso20-common': Namespace.ISO_V20_COMMON_MSG, 'iso20-dc': Namespace.ISO_V20_DC,
}
WARM_UP, REPETITIONS = 10, 30
load_shared_settings()
codec = EXI()
codec.set_exi_codec(ExificientEXICodec())


def median(action: Callable[[], object]) -> float:
    """Return the median time of ``action`` in µs."""
    times = []
    for _ in range(WARM_UP + REPETITIONS):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return 1e6 * statistics.median(times[WARM_UP:])


def measure(namespace: str, data: bytes) -> list[float] | str:
    """Return the times for one message, or why there are none."""
    try:
        message = codec.from_exi(data, namespace)
        return [median(lambda: codec.from_exi(data, namespace)),
                median(lambda: codec.to_exi(message, namespace))]
    except Exception as error:
        return f'{type(error).__name__}: {error}'[:200]


for line in sys.stdin:
    schema, stream = line.split()
    print('@' + json.dumps(measure(NAMESPACES[schema], bytes.fromhex(stream))), flush=True)
