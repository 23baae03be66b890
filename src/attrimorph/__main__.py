"""`python -m attrimorph` is the command `attrimorph`."""

from attrimorph.cli import main

if __name__ == "__main__":
    main()
