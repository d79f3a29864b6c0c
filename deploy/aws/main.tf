data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}
data "aws_region" "this" {}

locals {
  account    = data.aws_caller_identity.this.account_id
  bucket_arn = "arn:${data.aws_partition.this.partition}:s3:::${var.bucket_name}"
  queues     = var.events == "none" ? toset([]) : var.queues
}
