"""The ports, implemented on real parts. Foreign exceptions end here."""
