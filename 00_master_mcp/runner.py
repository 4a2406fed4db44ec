"""Start the runner of external servers, away from the hub's keys."""

from master.external.runner.main import main

if __name__ == "__main__":
    main()
