"""The compiled core: fields, energies and their derivatives of molecules on a CPU, one after another, without torch."""
