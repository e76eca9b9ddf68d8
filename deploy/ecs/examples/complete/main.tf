# A complete root: everything in a VPC of its own, two services of workers, one of them on Spot and from zero, and alarms
# by mail. Copy it; keep the state in an encrypted bucket, for it holds the passwords of Redis.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100"
    }
  }

  # backend "s3" {
  #   bucket       = "…"
  #   key          = "seri.tfstate"
  #   encrypt      = true
  #   use_lockfile = true
  # }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = { ManagedBy = "terraform" }
  }
}

resource "aws_sns_topic" "on_call" {
  name              = "${var.name}-on-call"
  kms_master_key_id = "alias/aws/sns"
}

resource "aws_sns_topic_subscription" "on_call" {
  for_each  = toset(var.alarm_emails)
  topic_arn = aws_sns_topic.on_call.arn
  protocol  = "email"
  endpoint  = each.value
}

module "seri" {
  source = "../.."

  name                = var.name
  certificate_arn     = var.certificate_arn
  api_keys_secret_arn = var.api_keys_secret_arn
  alarm_topic_arns    = [aws_sns_topic.on_call.arn]

  images = {
    api    = "${var.registry}/seri-api:${var.release}"
    worker = "${var.registry}/seri-worker:${var.release}"
    beat   = "${var.registry}/seri-beat:${var.release}"
  }

  workers = {
    # What people wait for: always there, never on Spot.
    default = {
      queues           = { default = 1 }
      min              = 2
      max              = 8
      backlog_per_slot = 2
      alarm_age        = 60
    }
    # What may wait: nothing while there is nothing to do, and nearly all of it on Spot.
    bulk = {
      queues           = { bulk = 1 }
      slots            = 4
      cpu              = 2048
      memory           = 4096
      min              = 0
      max              = 20
      backlog_per_slot = 20
      on_demand_base   = 0
      on_demand_weight = 1
      spot_weight      = 9
      alarm_age        = 3600
    }
  }

  beat = {
    schedules = file("${path.module}/schedules.yml")
  }

  redis = {
    node_type = "cache.m7g.large"
    shards    = 2
    replicas  = 1
  }
}

# The name of the certificate leads to the load balancer, if its zone is in Route 53.
resource "aws_route53_record" "api" {
  count   = var.zone_id == null ? 0 : 1
  zone_id = var.zone_id
  name    = var.domain
  type    = "A"

  alias {
    name                   = module.seri.load_balancer.dns_name
    zone_id                = module.seri.load_balancer.zone_id
    evaluate_target_health = true
  }
}
