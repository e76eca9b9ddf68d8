# Values that would only fail at AWS, or not at all, are refused at plan. Each run has one wrong value for each variable,
# and all of them must be refused; a run for each would take a provider for each.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  images = {
    api    = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/seri/api:v0.1.0"
    worker = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/seri/worker:v0.1.0"
    beat   = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/seri/beat:v0.1.0"
  }
  certificate_arn     = "arn:aws:acm:eu-central-1:123456789012:certificate/0a1b2c3d-0000-4000-8000-000000000000"
  api_keys_secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:seri/api-keys-AbCdEf"
}

run "refused_first" {
  command = plan

  variables {
    # longer than load balancers and ElastiCache take
    name = "a-name-that-is-much-too-long"
    # a tag that moves
    images = { api = "x/api:latest", worker = "x/worker:v1", beat = "x/beat:v1" }
    # unknown to Fargate
    cpu_architecture = "arm"
    # one private subnet
    vpc = { id = "vpc-1", private_subnet_ids = ["subnet-1"], public_subnet_ids = ["subnet-2", "subnet-3"] }
    # too small for six subnets
    vpc_cidr = "10.0.0.0/24"
    # a load balancer needs two
    availability_zones = 1
    # no ARN
    certificate_arn = "seri.example.com"
    # an address, not a network
    allowed_cidrs = ["203.0.113.7"]
    # close to the pings
    idle_timeout = 30
    # AWS' default, which only delays
    deregistration_delay = 300
    # the hash itself
    api_keys_secret_arn = "web:5d41402abc4b2a76b9719d911017c592"
    # no size of Fargate's
    api = { cpu = 300, memory = 123 }
    # no pair of Fargate's
    workers = { default = { cpu = 256, memory = 4096 } }
    # no pair of Fargate's
    beat = { cpu = 256, memory = 3072 }
    # the URL itself, with its password
    relay = { url_secret_arn = "nats://user:password@nats:4222", port = 4222, cidrs = ["10.20.0.0/16"] }
    # more than Fargate grants
    stop_timeout = 900
    # too old
    redis = { engine = "redis", engine_version = "6.2" }
    # an alias
    kms_key_arn = "alias/seri"
    # CloudWatch has 30 and 60
    log_retention_days = 31
    # more than the smallest task has
    log_buffer_mb = 500
    # no ARN
    alarm_topic_arns = ["on-call@example.com"]
    # negative
    archived_growth = -1
  }

  expect_failures = [
    var.name,
    var.images,
    var.cpu_architecture,
    var.vpc,
    var.vpc_cidr,
    var.availability_zones,
    var.certificate_arn,
    var.allowed_cidrs,
    var.idle_timeout,
    var.deregistration_delay,
    var.api_keys_secret_arn,
    var.api,
    var.workers,
    var.beat,
    var.relay,
    var.stop_timeout,
    var.redis,
    var.kms_key_arn,
    var.log_retention_days,
    var.log_buffer_mb,
    var.alarm_topic_arns,
    var.archived_growth,
  ]
}

run "refused_second" {
  command = plan

  variables {
    # no tag, but a port
    images = { api = "registry.example:5000/api", worker = "x/worker:v1", beat = "x/beat:v1" }
    # no network
    vpc_cidr = "10.0.0/16"
    # nobody to answer
    api = { count = 0 }
    # bounds that cross
    workers = { default = { min = 5, max = 4 } }
    # no schedules
    beat = { schedules = "nightly" }
    # only Valkey has it
    redis = { engine = "redis", engine_version = "8.0" }
    # no port
    relay = { url_secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:broker-AbCdEf", port = 0, cidrs = ["10.20.0.0/16"] }
  }

  expect_failures = [
    var.images,
    var.vpc_cidr,
    var.api,
    var.workers,
    var.beat,
    var.redis,
    var.relay,
  ]
}

run "refused_third" {
  command = plan

  variables {
    # no slots
    workers = { default = { slots = 0 } }
    # no replica
    redis = { replicas = 0 }
    # nobody to speak to
    relay = { url_secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:broker-AbCdEf", port = 4222, cidrs = [] }
  }

  expect_failures = [
    var.workers,
    var.redis,
    var.relay,
  ]
}

run "refused_fourth" {
  command = plan

  variables {
    # no queues
    workers = { default = { queues = {} } }
    # no type of node
    redis = { node_type = "t4g.small" }
    # no pair of Fargate's
    relay = { url_secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:broker-AbCdEf", port = 4222, cidrs = ["10.20.0.0/16"], memory = 4096 }
  }

  expect_failures = [
    var.workers,
    var.redis,
    var.relay,
  ]
}

run "refused_fifth" {
  command = plan

  variables {
    # a brace in a queue's name
    workers = { default = { queues = { "a{b}" = 1 } } }
    # nobody to copy
    relay = { url_secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:broker-AbCdEf", port = 4222, cidrs = ["10.20.0.0/16"], count = 0 }
    # the secret itself
    api = { secrets = { DATABASE_URL = "postgres://user:password@db/app" } }
  }

  expect_failures = [
    var.workers,
    var.relay,
    var.api,
  ]
}

run "refused_sixth" {
  command = plan

  variables {
    # an asterisk, which would open all keys to it
    workers = { default = { queues = { "mail*" = 1 } } }
  }

  expect_failures = [
    var.workers,
  ]
}

run "refused_seventh" {
  command = plan

  variables {
    # half a weight
    workers = { default = { queues = { mail = 1.5 } } }
  }

  expect_failures = [
    var.workers,
  ]
}

run "refused_eighth" {
  command = plan

  variables {
    # no capacity
    workers = { default = { on_demand_weight = 0, spot_weight = 0 } }
  }

  expect_failures = [
    var.workers,
  ]
}

run "refused_ninth" {
  command = plan

  variables {
    # a parameter of Systems Manager, which the execution role may not read
    workers = { default = { secrets = { MAIL_TOKEN = "arn:aws:ssm:eu-central-1:123456789012:parameter/mail" } } }
  }

  expect_failures = [
    var.workers,
  ]
}
