"""What a model is, the models, and the files they are kept in."""
