"""What is done with a model: optimisation, vibrations, solids, the ASE calculator."""
