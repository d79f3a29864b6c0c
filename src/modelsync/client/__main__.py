"""`python -m modelsync.client wait MODEL…`."""

import sys

from modelsync.client.command import main

if __name__ == "__main__":
    sys.exit(main())
