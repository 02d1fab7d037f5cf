"""Reference labels by PySCF, an ASE calculator or a program: resumable files, many processes."""
