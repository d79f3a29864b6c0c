"""S3 and stores that speak its protocol."""

from modelsync.adapters.s3.store import S3Options, S3Store

__all__ = ["S3Options", "S3Store"]
