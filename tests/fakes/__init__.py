"""Simulators of the ports, with verbs for what a test wants to happen."""
