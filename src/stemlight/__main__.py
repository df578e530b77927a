"""`python -m stemlight` is the command `stemlight`."""

from stemlight.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
