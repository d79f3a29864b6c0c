variable "name" {
  description = "Begins the names of all that is made."
  type        = string
  default     = "model-sync"
}

variable "bucket_name" {
  description = "The bucket that holds the models."
  type        = string
}

variable "create_bucket" {
  description = "Make the bucket: versioned, encrypted, closed to the public. False: it is there already."
  type        = bool
  default     = true
}

variable "prefix" {
  description = "Only keys below it: S3_PREFIX. Empty, or ending in /."
  type        = string
  default     = ""

  validation {
    condition     = var.prefix == "" || can(regex("^[^/].*/$", var.prefix))
    error_message = "A prefix starts without / and ends with one."
  }
}

variable "kms_key_arn" {
  description = "Encrypts the bucket's objects; null: SSE-S3. Worker and publisher may use it."
  type        = string
  default     = null
}

variable "noncurrent_version_days" {
  description = "For so long the bucket keeps what an upload overwrote: the reach of a rollback from the bucket."
  type        = number
  default     = 90
}

variable "events" {
  description = "How changes come to the queues: direct (one queue), sns or eventbridge (any number), none (no queue)."
  type        = string
  default     = "direct"

  validation {
    condition     = contains(["direct", "sns", "eventbridge", "none"], var.events)
    error_message = "One of direct, sns, eventbridge, none."
  }
}

variable "queues" {
  description = "Names of the queues, one for each volume that follows the bucket."
  type        = set(string)
  default     = ["events"]

  validation {
    condition     = length(var.queues) > 0
    error_message = "At least one; events = none for none."
  }
}

variable "manage_notification" {
  description = "Set the bucket's notification, which replaces all that it has. False: add it to yours by hand."
  type        = bool
  default     = true
}

variable "visibility_timeout_seconds" {
  description = "For so long a message stays hidden from others when its worker dies. Workers extend it as they go."
  type        = number
  default     = 60
}

variable "max_receive_count" {
  description = "After so many receives a message is dead. One whose model is busy is received again and again: 5 or more."
  type        = number
  default     = 20

  validation {
    condition     = var.max_receive_count >= 5
    error_message = "5 or more."
  }
}

variable "oidc_provider_arn" {
  description = "The cluster's OIDC provider: makes a role for IRSA. Null: none."
  type        = string
  default     = null
}

variable "pod_identity_cluster" {
  description = "The cluster's name: associates the role by EKS Pod Identity. Null: none."
  type        = string
  default     = null
}

variable "namespace" {
  description = "Of the service account."
  type        = string
  default     = "voice-tts"
}

variable "service_account" {
  description = "Who may take the role."
  type        = string
  default     = "worker-model-sync-tts"
}

variable "alarm_actions" {
  description = "ARNs that are told of alarms, for example an SNS topic."
  type        = list(string)
  default     = []
}

variable "max_message_age_seconds" {
  description = "A message older than this is an alarm: nobody reads the queue, or a model cannot be synced."
  type        = number
  default     = 1800
}

variable "tags" {
  description = "On all that is made."
  type        = map(string)
  default     = {}
}
