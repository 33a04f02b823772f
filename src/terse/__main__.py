"""`python -m terse`."""

from terse.cli.main import main

if __name__ == "__main__":
    main()
