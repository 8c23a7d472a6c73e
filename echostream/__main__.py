"""`python -m echostream` is the `echostream` command."""

import sys

from echostream.cli import main

sys.exit(main())
