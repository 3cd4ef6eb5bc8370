"""Ends before it is ready, and says why on standard error."""

import sys

sys.stdout.write("reading the rules\n")
sys.stderr.write("rules/extra.yar: no such file\n")
sys.exit(4)
