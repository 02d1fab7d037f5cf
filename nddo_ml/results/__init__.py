"""Results as they come: chunks computed here or elsewhere, kept in a journal, written whole at the end."""
