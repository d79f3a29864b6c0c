"""What the service does, on ports alone."""
