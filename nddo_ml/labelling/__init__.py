"""Reference labels by density functional theory (PySCF): single points, resumable files, many processes."""
