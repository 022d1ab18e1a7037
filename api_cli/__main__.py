"""`python -m api_cli`."""

from api_cli.cli import main

main()
