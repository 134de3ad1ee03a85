"""`python -m integration.cli`: the command line of this checkout."""

from integration.cli.main import main

main()
