output "environment" {
  description = "For the ConfigMap of the worker, with one of queue_urls as SQS_MODEL_SYNC_QUEUE_URL."
  value = {
    S3_BUCKET_NAME           = var.bucket_name
    S3_PREFIX                = var.prefix
    S3_EXPECTED_BUCKET_OWNER = var.create_bucket ? local.account : ""
    AWS_REGION               = data.aws_region.this.name
  }
}

output "queue_urls" {
  description = "By the queues' names."
  value       = { for name, queue in aws_sqs_queue.events : name => queue.id }
}

output "dead_letter_queue_urls" {
  description = "By the queues' names."
  value       = { for name, queue in aws_sqs_queue.dead : name => queue.id }
}

output "role_arn" {
  description = "For the annotation eks.amazonaws.com/role-arn; null if there is no cluster."
  value       = one(aws_iam_role.worker[*].arn)
}

output "worker_policy_arn" {
  description = "For a role of another kind."
  value       = aws_iam_policy.worker.arn
}

output "publisher_policy_arn" {
  description = "For whoever pushes models."
  value       = aws_iam_policy.publisher.arn
}

output "worker_policy" {
  description = "As JSON."
  value       = data.aws_iam_policy_document.worker.json
}

output "publisher_policy" {
  description = "As JSON."
  value       = data.aws_iam_policy_document.publisher.json
}
