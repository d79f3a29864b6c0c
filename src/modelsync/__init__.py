"""modelsync keeps AI models on a shared volume in step with an S3 bucket."""

__version__ = "0.1.0"
