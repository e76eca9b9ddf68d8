variable "region" {
  description = "The region of AWS."
  type        = string
  default     = "eu-central-1"
}

variable "name" {
  description = "The name of the installation."
  type        = string
  default     = "seri"
}

variable "registry" {
  description = "Where the images are: ACCOUNT.dkr.ecr.REGION.amazonaws.com."
  type        = string
}

variable "release" {
  description = "The tag of the images."
  type        = string
}

variable "certificate_arn" {
  description = "The certificate of the domain, in ACM."
  type        = string
}

variable "api_keys_secret_arn" {
  description = "The secret with the hashes of the API keys, as \"seri key\" prints them."
  type        = string
}

variable "domain" {
  description = "The name under which the api is called."
  type        = string
  default     = "seri.example.com"
}

variable "zone_id" {
  description = "The domain's zone in Route 53. null: its record is made elsewhere."
  type        = string
  default     = null
}

variable "alarm_emails" {
  description = "Who gets mail when something is wrong."
  type        = list(string)
  default     = []
}
