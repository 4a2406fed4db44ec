"""`python3 -m flotilla`: the owner's commands."""

from flotilla.cli.app import main

if __name__ == "__main__":
    main()
