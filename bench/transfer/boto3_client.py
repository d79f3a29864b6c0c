"""Downloads a bucket as users of boto3 do; run by the Python that has it: BUCKET TARGET, and `tuned` or nothing.

One object after the other with the defaults; tuned, eight at once, with larger parts and writes.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

THREADS = 8


def main(bucket: str, target: str, *tuned: str) -> None:
    threads = THREADS if tuned else 1
    client = boto3.client("s3", config=Config(max_pool_connections=THREADS * 8) if tuned else None)
    sizes = {"multipart_chunksize": 32 << 20, "io_chunksize": 1 << 20, "max_concurrency": THREADS}
    transfer = TransferConfig(**sizes) if tuned else None

    def download(key: str) -> None:
        path = Path(target, key)
        path.parent.mkdir(exist_ok=True)
        client.download_file(bucket, key, str(path), Config=transfer)

    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = [entry["Key"] for page in pages for entry in page["Contents"]]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(download, keys))


main(*sys.argv[1:])
