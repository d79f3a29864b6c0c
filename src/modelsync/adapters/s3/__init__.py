"""S3 and stores that speak its protocol."""

from modelsync.adapters.s3.requests import S3Options
from modelsync.adapters.s3.store import S3Store
from modelsync.adapters.s3.uploads import S3Uploads

__all__ = ["S3Options", "S3Store", "S3Uploads"]
