"""`python -m api_cli`."""

from api_cli.cli import main

if __name__ == "__main__":  # a process that this one spawns imports it as well
    main()
