"""``python -m nddo_ml``: the command line, also for torchrun."""

from nddo_ml.cli import main

if __name__ == "__main__":
    main()
