resource "aws_s3_bucket_notification" "models" {
  count       = var.manage_notification && var.events != "none" ? 1 : 0
  bucket      = var.bucket_name
  eventbridge = var.events == "eventbridge"

  dynamic "queue" {
    for_each = var.events == "direct" ? local.queues : []
    content {
      queue_arn     = aws_sqs_queue.events[queue.key].arn
      events        = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
      filter_prefix = var.prefix
    }
  }

  dynamic "topic" {
    for_each = aws_sns_topic.events[*].arn
    content {
      topic_arn     = topic.value
      events        = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
      filter_prefix = var.prefix
    }
  }

  lifecycle {
    precondition {
      condition     = var.events != "direct" || length(var.queues) == 1
      error_message = "S3 tells one queue of a key, not several: events = \"sns\" for more."
    }
  }
  depends_on = [aws_s3_bucket.models, aws_sqs_queue_policy.events, aws_sns_topic_policy.events]
}

# One topic, any number of queues: each volume (a cluster, a node pool of one node) hears of each change.
resource "aws_sns_topic" "events" {
  count = var.events == "sns" ? 1 : 0
  name  = "${var.name}-events"
  tags  = var.tags
}

data "aws_iam_policy_document" "topic" {
  count = var.events == "sns" ? 1 : 0
  statement {
    sid       = "OnlyThisBucketPublishes"
    actions   = ["sns:Publish"]
    resources = [local.topic_arn]
    principals {
      type        = "Service"
      identifiers = ["s3.amazonaws.com"]
    }
    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [local.bucket_arn]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

resource "aws_sns_topic_policy" "events" {
  count  = var.events == "sns" ? 1 : 0
  arn    = aws_sns_topic.events[0].arn
  policy = data.aws_iam_policy_document.topic[0].json
}

resource "aws_sns_topic_subscription" "events" {
  for_each             = var.events == "sns" ? local.queues : []
  topic_arn            = aws_sns_topic.events[0].arn
  protocol             = "sqs"
  endpoint             = aws_sqs_queue.events[each.key].arn
  raw_message_delivery = true
}

resource "aws_cloudwatch_event_rule" "events" {
  count = var.events == "eventbridge" ? 1 : 0
  name  = "${var.name}-events"
  event_pattern = jsonencode(merge(
    {
      source        = ["aws.s3"]
      "detail-type" = ["Object Created", "Object Deleted"]
    },
    {
      detail = merge(
        { bucket = { name = [var.bucket_name] } },
        var.prefix == "" ? {} : { object = { key = [{ prefix = var.prefix }] } },
      )
    },
  ))
  tags = var.tags
}

resource "aws_cloudwatch_event_target" "events" {
  for_each = var.events == "eventbridge" ? local.queues : []
  rule     = aws_cloudwatch_event_rule.events[0].name
  arn      = aws_sqs_queue.events[each.key].arn
}
