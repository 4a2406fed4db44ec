"""The owner's commands, `python3 -m flotilla`: all of them ask the running hub."""
