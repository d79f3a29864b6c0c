data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}
data "aws_region" "this" {}

locals {
  account    = data.aws_caller_identity.this.account_id
  bucket_arn = "${local.arn}:s3:::${var.bucket_name}"
  queues     = var.events == "none" ? toset([]) : var.queues

  # Put together by name, so that a plan shows the policies as they will be.
  here       = "${local.account}:${var.name}"
  region     = data.aws_region.this.name
  queue_arns = { for name in local.queues : name => "${local.arn}:sqs:${local.region}:${local.here}-${name}" }
  topic_arn  = "${local.arn}:sns:${local.region}:${local.here}-events"
  rule_arn   = "${local.arn}:events:${local.region}:${local.account}:rule/${var.name}-events"
  arn        = "arn:${data.aws_partition.this.partition}"
}
