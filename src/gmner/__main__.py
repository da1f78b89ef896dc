"""`python -m gmner`: the same program as the `gmner` command."""

from gmner.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
