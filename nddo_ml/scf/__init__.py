"""The self-consistent field: Fock matrix, loop, Newton steps, search for the lowest solution."""
