# What the worker calls, and nothing else. A model's name is known only after a listing, and the bucket is checked
# without a prefix, so listing is of the whole bucket; reading is of the prefix alone.
data "aws_iam_policy_document" "worker" {
  statement {
    sid       = "List"
    actions   = ["s3:ListBucket", "s3:ListBucketMultipartUploads"]
    resources = [local.bucket_arn]
  }
  statement {
    sid       = "Read"
    actions   = ["s3:GetObject", "s3:GetObjectVersion"]
    resources = ["${local.bucket_arn}/${var.prefix}*"]
  }
  statement {
    sid       = "Doctor" # modelsync doctor looks at these settings; the service does not
    actions   = ["s3:GetBucketNotification", "s3:GetBucketVersioning"]
    resources = [local.bucket_arn]
  }
  dynamic "statement" {
    for_each = length(local.queues) > 0 ? [1] : []
    content {
      sid = "Events"
      actions = [
        "sqs:ReceiveMessage",
        "sqs:DeleteMessage",
        "sqs:ChangeMessageVisibility",
        "sqs:GetQueueAttributes",
      ]
      resources = values(local.queue_arns)
    }
  }
  dynamic "statement" {
    for_each = var.kms_key_arn == null ? [] : [var.kms_key_arn]
    content {
      sid       = "Decrypt"
      actions   = ["kms:Decrypt"]
      resources = [statement.value]
    }
  }
}

# What `modelsync push` calls: it lists and compares before it uploads, and never deletes.
data "aws_iam_policy_document" "publisher" {
  statement {
    sid       = "List"
    actions   = ["s3:ListBucket"]
    resources = [local.bucket_arn]
  }
  statement {
    sid       = "Upload"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]
    resources = ["${local.bucket_arn}/${var.prefix}*"]
  }
  dynamic "statement" {
    for_each = var.kms_key_arn == null ? [] : [var.kms_key_arn]
    content {
      sid       = "Encrypt"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [statement.value]
    }
  }
}

resource "aws_iam_policy" "worker" {
  name   = "${var.name}-worker"
  policy = data.aws_iam_policy_document.worker.json
  tags   = var.tags
}

resource "aws_iam_policy" "publisher" {
  name   = "${var.name}-publisher"
  policy = data.aws_iam_policy_document.publisher.json
  tags   = var.tags
}

locals {
  takes_role = var.oidc_provider_arn != null || var.pod_identity_cluster != null
  issuer     = var.oidc_provider_arn == null ? "" : split(":oidc-provider/", var.oidc_provider_arn)[1]
}

data "aws_iam_policy_document" "trust" {
  dynamic "statement" {
    for_each = var.oidc_provider_arn == null ? [] : [var.oidc_provider_arn]
    content {
      sid     = "Irsa"
      actions = ["sts:AssumeRoleWithWebIdentity"]
      principals {
        type        = "Federated"
        identifiers = [statement.value]
      }
      condition {
        test     = "StringEquals"
        variable = "${local.issuer}:sub"
        values   = ["system:serviceaccount:${var.namespace}:${var.service_account}"]
      }
      condition {
        test     = "StringEquals"
        variable = "${local.issuer}:aud"
        values   = ["sts.amazonaws.com"]
      }
    }
  }
  dynamic "statement" {
    for_each = var.pod_identity_cluster == null ? [] : [var.pod_identity_cluster]
    content {
      sid     = "PodIdentity"
      actions = ["sts:AssumeRole", "sts:TagSession"]
      principals {
        type        = "Service"
        identifiers = ["pods.eks.amazonaws.com"]
      }
      condition {
        test     = "StringEquals"
        variable = "aws:SourceAccount"
        values   = [local.account]
      }
    }
  }
}

resource "aws_iam_role" "worker" {
  count              = local.takes_role ? 1 : 0
  name               = "${var.name}-worker"
  assume_role_policy = data.aws_iam_policy_document.trust.json
  tags               = var.tags
}

resource "aws_iam_role_policy_attachment" "worker" {
  count      = local.takes_role ? 1 : 0
  role       = aws_iam_role.worker[0].name
  policy_arn = aws_iam_policy.worker.arn
}

resource "aws_eks_pod_identity_association" "worker" {
  count           = var.pod_identity_cluster == null ? 0 : 1
  cluster_name    = var.pod_identity_cluster
  namespace       = var.namespace
  service_account = var.service_account
  role_arn        = aws_iam_role.worker[0].arn
  tags            = var.tags
}
