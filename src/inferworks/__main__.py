"""`python -m inferworks` is `inferworks`."""

from inferworks.cli.main import main

main()
