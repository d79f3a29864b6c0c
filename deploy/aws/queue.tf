resource "aws_sqs_queue" "dead" {
  for_each                  = local.queues
  name                      = "${var.name}-${each.key}-dead"
  message_retention_seconds = 1209600 # 14 days, the longest
  sqs_managed_sse_enabled   = true
  tags                      = var.tags
}

resource "aws_sqs_queue" "events" {
  for_each                   = local.queues
  name                       = "${var.name}-${each.key}"
  visibility_timeout_seconds = var.visibility_timeout_seconds
  message_retention_seconds  = 345600 # 4 days: what is older, a comparison has found
  receive_wait_time_seconds  = 20
  sqs_managed_sse_enabled    = true # alias/aws/sqs would keep S3 out
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead[each.key].arn
    maxReceiveCount     = var.max_receive_count
  })
  tags = var.tags
}

locals {
  # Who sends to the queues, and on whose behalf.
  sender = {
    direct      = { service = "s3.amazonaws.com", arn = local.bucket_arn }
    sns         = { service = "sns.amazonaws.com", arn = local.topic_arn }
    eventbridge = { service = "events.amazonaws.com", arn = local.rule_arn }
  }
}

data "aws_iam_policy_document" "queue" {
  for_each = local.queues
  statement {
    sid       = "OnlyThisBucketSends"
    actions   = ["sqs:SendMessage"]
    resources = [local.queue_arns[each.key]]
    principals {
      type        = "Service"
      identifiers = [local.sender[var.events].service]
    }
    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [local.sender[var.events].arn]
    }
    # A bucket's ARN does not say whose it is; the others' do.
    dynamic "condition" {
      for_each = var.events == "direct" ? [local.account] : []
      content {
        test     = "StringEquals"
        variable = "aws:SourceAccount"
        values   = [condition.value]
      }
    }
  }
  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["sqs:*"]
    resources = [local.queue_arns[each.key]]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_sqs_queue_policy" "events" {
  for_each  = local.queues
  queue_url = aws_sqs_queue.events[each.key].id
  policy    = data.aws_iam_policy_document.queue[each.key].json
}
