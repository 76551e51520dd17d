"""Write the table of misbehaviours into its page: ``python -m ccs2_sim.car.document PAGE``."""

from __future__ import annotations

import sys
from pathlib import Path

from ccs2_sim.car.misbehaviour import table

BEGIN, END = '<!-- table begins -->\n', '<!-- table ends -->\n'


def main() -> None:
    """Replace what is between the page's two marks."""
    page = Path(sys.argv[1])
    text = page.read_text(encoding='utf-8')
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        sys.exit(f'{page} lacks the marks {BEGIN.strip()} and {END.strip()}')
    page.write_text(before + BEGIN + table() + END + after, encoding='utf-8')


if __name__ == '__main__':
    main()
