"""The show: everything on one machine, without AWS."""

from modelsync.demo.show import run_demo

__all__ = ["run_demo"]
