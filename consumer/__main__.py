"""A supervised worker: `python -m consumer NUMBER`, its job on standard input."""

import gc
import sys

gc.disable()  # imports leave no garbage, and looking for it takes a fifth of the start

from consumer.worker import main  # noqa: E402 - that is what should be quick

sys.exit(main())
