"""A family's routines, the same names in each; ``registry`` is the table of them."""
