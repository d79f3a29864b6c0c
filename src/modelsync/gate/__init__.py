"""The gate: what a file's content must be before readers may see it.

Each format has a module with one function that reads a `Source` and raises `Rejected`. Nothing here executes,
imports or unpickles what it reads, and nothing is read that a bound does not cover.
"""
