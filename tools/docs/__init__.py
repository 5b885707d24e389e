"""The documentation as a site: the pages of docs/ and the reference that pdoc makes of the public docstrings."""
