"""IR -> Python `ast` -> code objects or source files."""
