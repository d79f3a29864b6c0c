"""Pickles that are written opcode by opcode, as no pickler would, and such as picklers write."""
