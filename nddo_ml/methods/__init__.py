"""Published methods: their tables and what follows from them."""
