# Redis: ElastiCache in cluster mode, encrypted, with a user for each service that may do what the service does and no more.
# acl/ holds the rules; a test runs the roles under them.

locals {
  redis_family = "${var.redis.engine}${split(".", var.redis.engine_version)[0]}"

  # The files have a rule on each line, and comments.
  acl_lines = {
    for file in ["commands", "api", "worker", "beat", "relay"] : file => [
      for line in split("\n", file("${path.module}/acl/${file}.acl")) : trimspace(line)
      if trimspace(line) != "" && !startswith(trimspace(line), "#")
    ]
  }
  # A line with {q} is meant for each queue of the service.
  access = {
    for name, s in local.services : name => join(" ", concat(
      ["on"],
      flatten([
        for line in local.acl_lines[s.role] :
        strcontains(line, "{q}") ? [for queue in s.queues : replace(line, "{q}", "{${queue}}")] : [line]
      ]),
      [for pattern in s.redis_keys : "~${pattern}"],
      local.acl_lines.commands,
    ))
  }

  # Redis takes the passwords of this generation and of the one before, so that tasks of both run while they are replaced.
  generations = toset(flatten([
    for name in var.redis.iam ? ["nobody"] : keys(local.services) : [
      for generation in distinct([var.redis.password_generation, max(var.redis.password_generation - 1, 1)]) : "${name}/${generation}"
    ]
  ]))

  redis_nodes = toset(flatten([
    for shard in range(1, var.redis.shards + 1) : [
      for node in range(1, var.redis.replicas + 2) : format("%s-%04d-%03d", var.name, shard, node)
    ]
  ]))
}

data "aws_secretsmanager_random_password" "redis" {
  for_each            = local.generations
  password_length     = 48
  exclude_punctuation = true # it becomes part of a URL
}

# Keeps the first password that was drawn: the data source draws another each time.
resource "terraform_data" "password" {
  for_each = local.generations
  input    = data.aws_secretsmanager_random_password.redis[each.key].random_password

  lifecycle {
    ignore_changes = [input]
  }
}

resource "aws_elasticache_user" "service" {
  for_each      = local.services
  user_id       = "${var.name}-${each.key}"
  user_name     = "${var.name}-${each.key}"
  engine        = var.redis.engine
  access_string = local.access[each.key]
  tags          = local.tags

  authentication_mode {
    type = var.redis.iam ? "iam" : "password"
    passwords = var.redis.iam ? null : [
      for generation in distinct([var.redis.password_generation, max(var.redis.password_generation - 1, 1)]) :
      sensitive(terraform_data.password["${each.key}/${generation}"].output)
    ]
  }
}

# Whoever names no user is this one, who may do nothing.
resource "aws_elasticache_user" "nobody" {
  user_id       = "${var.name}-nobody"
  user_name     = "default"
  engine        = var.redis.engine
  access_string = "off -@all"
  tags          = local.tags

  authentication_mode {
    type      = "password"
    passwords = [sensitive(terraform_data.password["${var.redis.iam ? "nobody" : "api"}/${var.redis.password_generation}"].output)]
  }
}

resource "aws_elasticache_user_group" "this" {
  user_group_id = var.name
  engine        = var.redis.engine
  user_ids      = concat([aws_elasticache_user.nobody.user_id], [for user in aws_elasticache_user.service : user.user_id])
  tags          = local.tags
}

resource "aws_elasticache_subnet_group" "this" {
  name       = var.name
  subnet_ids = local.private_subnets
  tags       = local.tags
}

resource "aws_elasticache_parameter_group" "this" {
  name        = "${var.name}-${local.redis_family}"
  description = "Redis of ${var.name}"
  family      = local.redis_family
  tags        = local.tags

  parameter {
    name  = "cluster-enabled"
    value = "yes"
  }

  # Any other policy deletes tasks when memory is short.
  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }

  parameter {
    name  = "reserved-memory-percent"
    value = "25"
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_elasticache_replication_group" "this" {
  replication_group_id       = var.name
  description                = "Queues of ${var.name}"
  engine                     = var.redis.engine
  engine_version             = var.redis.engine_version
  parameter_group_name       = aws_elasticache_parameter_group.this.name
  node_type                  = var.redis.node_type
  cluster_mode               = "enabled"
  num_node_groups            = var.redis.shards
  replicas_per_node_group    = var.redis.replicas
  automatic_failover_enabled = true
  multi_az_enabled           = true
  port                       = 6379
  subnet_group_name          = aws_elasticache_subnet_group.this.name
  security_group_ids         = [aws_security_group.redis.id]
  user_group_ids             = [aws_elasticache_user_group.this.user_group_id]
  transit_encryption_enabled = true
  transit_encryption_mode    = "required"
  at_rest_encryption_enabled = true
  kms_key_id                 = var.kms_key_arn
  snapshot_retention_limit   = var.redis.snapshot_days
  snapshot_window            = var.redis.snapshot_window
  maintenance_window         = var.redis.maintenance_window
  final_snapshot_identifier  = var.deletion_protection ? "${var.name}-final" : null
  auto_minor_version_upgrade = true
  apply_immediately          = false
  tags                       = local.tags
}

# The URL with user and password is the one secret of a service. With IAM there is no password, and so no secret.

resource "aws_secretsmanager_secret" "redis_url" {
  for_each    = var.redis.iam ? {} : local.services
  name_prefix = "${var.name}/${each.key}/redis-url-"
  description = "SERI_REDIS_URL of ${var.name}-${each.key}"
  kms_key_id  = var.kms_key_arn
  tags        = local.tags
}

resource "aws_secretsmanager_secret_version" "redis_url" {
  for_each  = var.redis.iam ? {} : local.services
  secret_id = aws_secretsmanager_secret.redis_url[each.key].id
  secret_string = format("rediss+cluster://%s:%s@%s:6379",
    aws_elasticache_user.service[each.key].user_name,
    sensitive(terraform_data.password["${each.key}/${var.redis.password_generation}"].output),
    aws_elasticache_replication_group.this.configuration_endpoint_address,
  )
}
