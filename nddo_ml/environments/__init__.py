"""What surrounds a molecule: a potential for its electrons and an energy of its cores, for any method or hybrid."""
