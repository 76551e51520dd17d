"""``python -m ccs2_hlc.exi``."""

import sys

from .cli import main

sys.exit(main())
