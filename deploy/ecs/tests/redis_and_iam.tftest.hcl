# Redis, who may do what there, and roles of IAM.

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

run "redis" {
  variables {
    redis = { shards = 2, replicas = 1, password_generation = 3 }
    workers = {
      default = {}
      short   = { protect_minutes = 0 }
      mail    = { queues = { mail = 3, bulk = 1 }, redis_keys = ["seri:v1:lock:{mailbox}*"], policy_json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
    }
    beat = { schedules = "schedules: [{id: a, every: 1h, task: x}, {id: b, every: 1h, task: x, queue: reports}]" }
  }

  assert {
    condition = (
      aws_elasticache_replication_group.this.cluster_mode == "enabled" && aws_elasticache_replication_group.this.num_node_groups == 2 &&
      aws_elasticache_replication_group.this.multi_az_enabled && aws_elasticache_replication_group.this.automatic_failover_enabled
    )
    error_message = "Redis should be a cluster that survives the loss of a node and of a zone."
  }
  assert {
    condition = (
      aws_elasticache_replication_group.this.transit_encryption_enabled && aws_elasticache_replication_group.this.transit_encryption_mode == "required" &&
      aws_elasticache_replication_group.this.at_rest_encryption_enabled == "true"
    )
    error_message = "Redis should be encrypted on the way and at rest."
  }
  assert {
    condition     = { for p in aws_elasticache_parameter_group.this.parameter : p.name => p.value } == { cluster-enabled = "yes", maxmemory-policy = "noeviction", reserved-memory-percent = "25" }
    error_message = "Any other policy than noeviction deletes tasks when memory is short."
  }
  assert {
    condition     = aws_elasticache_parameter_group.this.family == "valkey8"
    error_message = "The family should follow engine and version."
  }
  assert {
    condition     = aws_elasticache_user.nobody.user_name == "default" && aws_elasticache_user.nobody.access_string == "off -@all"
    error_message = "Whoever names no user should be refused."
  }
  assert {
    condition     = length(aws_elasticache_user_group.this.user_ids) == 6
    error_message = "The group should hold a user for each service, and nobody."
  }
  assert {
    condition     = alltrue([for u in aws_elasticache_user.service : strcontains(u.access_string, " -@all ") && strcontains(u.access_string, " -@dangerous ") && !strcontains(u.access_string, "~* ")])
    error_message = "No user may run dangerous commands, or touch every key."
  }
  assert {
    condition = (
      strcontains(aws_elasticache_user.service["worker-mail"].access_string, " ~asynq:{mail}:* ~asynq:{bulk}:* ") == false &&
      strcontains(aws_elasticache_user.service["worker-mail"].access_string, " ~asynq:{bulk}:* ~asynq:{mail}:* ") &&
      !strcontains(aws_elasticache_user.service["worker-mail"].access_string, "{default}") && !strcontains(aws_elasticache_user.service["worker-default"].access_string, "{mail}")
    )
    error_message = "A worker may touch its own queues only."
  }
  assert {
    condition     = strcontains(aws_elasticache_user.service["worker-mail"].access_string, " ~seri:v1:lock:{mailbox}* ") && !strcontains(aws_elasticache_user.service["worker-default"].access_string, "lock")
    error_message = "Further keys should be a worker's only if it is given them."
  }
  assert {
    condition = (
      strcontains(aws_elasticache_user.service["beat"].access_string, " ~asynq:{reports}:* ") && strcontains(aws_elasticache_user.service["beat"].access_string, " ~asynq:{default}:* ") &&
      !strcontains(aws_elasticache_user.service["beat"].access_string, "{mail}")
    )
    error_message = "A beat may touch the queues of its schedules only."
  }
  assert {
    condition     = alltrue([for u in aws_elasticache_user.service : length(one(u.authentication_mode).passwords) <= 2 && one(u.authentication_mode).type == "password"])
    error_message = "Users have a password, and that of the generation before."
  }
  assert {
    condition     = sort(keys(terraform_data.password)) == sort(flatten([for s in ["api", "beat", "worker-default", "worker-mail", "worker-short"] : ["${s}/2", "${s}/3"]]))
    error_message = "The passwords of this generation and of the one before should be there."
  }
  assert {
    condition     = alltrue([for name, v in aws_secretsmanager_secret_version.redis_url : nonsensitive(can(regex("^rediss\\+cluster://seri-${name}:[A-Za-z0-9]{48}@clustercfg\\.[a-z0-9.]+:6379$", v.secret_string)))])
    error_message = "The URL should be one of a cluster with TLS, with the service's own user."
  }

  # IAM

  assert {
    condition = alltrue([for name, p in aws_iam_role_policy.execution : alltrue([
      for s in jsondecode(p.policy).Statement : s.Resource != ["*"] || s.Action == ["ecr:GetAuthorizationToken"]
    ])])
    error_message = "What an execution role may do should be bound to resources."
  }
  assert {
    condition     = one([for s in jsondecode(aws_iam_role_policy.execution["worker-mail"].policy).Statement : s.Resource if s.Sid == "Pull"]) == ["arn:aws:ecr:eu-central-1:123456789012:repository/seri/worker"]
    error_message = "A service should pull its own image only."
  }
  assert {
    condition = (
      contains(one([for s in jsondecode(aws_iam_role_policy.execution["api"].policy).Statement : s.Resource if s.Sid == "Secrets"]), var.api_keys_secret_arn) &&
      !contains(one([for s in jsondecode(aws_iam_role_policy.execution["worker-mail"].policy).Statement : s.Resource if s.Sid == "Secrets"]), var.api_keys_secret_arn)
    )
    error_message = "The hashes of API keys are the api's only."
  }
  assert {
    condition     = keys(aws_iam_role_policy.task) == ["worker-mail"] && length(aws_iam_role_policy.exec) == 0
    error_message = "Tasks may do nothing in AWS unless they are given a policy."
  }
  assert {
    condition = keys(aws_iam_role_policy.protection) == ["worker-default", "worker-mail"] && alltrue([
      for p in aws_iam_role_policy.protection : jsondecode(p.policy).Statement[0].Resource == ["arn:aws:ecs:eu-central-1:123456789012:task/seri/*"] &&
      jsondecode(p.policy).Statement[0].Action == ["ecs:GetTaskProtection", "ecs:UpdateTaskProtection"]
    ])
    error_message = "Workers may protect tasks of this cluster, if they are to, and nobody else may."
  }
  assert {
    condition = (
      contains(jsondecode(aws_ecs_task_definition.service["worker-mail"].container_definitions)[0].environment, { name = "SERI_PROTECT_FOR", value = "120m" }) &&
      contains(jsondecode(aws_ecs_task_definition.service["worker-short"].container_definitions)[0].environment, { name = "SERI_PROTECT_FOR", value = "0m" })
    )
    error_message = "Workers should be told for how long they may be protected."
  }
  assert {
    condition = one(jsondecode(aws_iam_role_policy.task_logs.policy).Statement).Action == ["logs:FilterLogEvents"] && alltrue([
      for arn in one(jsondecode(aws_iam_role_policy.task_logs.policy).Statement).Resource : endswith(arn, ":*") && arn != "*"
    ])
    error_message = "The api may search the logs of workers, and no others."
  }
  assert {
    condition     = length(aws_iam_role_policy.redis) == 0
    error_message = "With passwords, no role needs to log in."
  }
  assert {
    condition     = jsondecode(aws_iam_role.task["api"].assume_role_policy).Statement[0].Condition.StringEquals["aws:SourceAccount"] == "123456789012"
    error_message = "Roles should be assumed for tasks of this account only."
  }
}

run "a_key_of_ones_own" {
  variables {
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/0a1b2c3d-0000-4000-8000-000000000000"
  }

  assert {
    condition = (
      alltrue([for g in aws_cloudwatch_log_group.service : g.kms_key_id == var.kms_key_arn]) &&
      alltrue([for s in aws_secretsmanager_secret.redis_url : s.kms_key_id == var.kms_key_arn]) &&
      aws_elasticache_replication_group.this.kms_key_id == var.kms_key_arn &&
      strcontains(aws_iam_role_policy.execution["api"].policy, "kms:Decrypt")
    )
    error_message = "Logs, secrets and Redis should be encrypted with the key, and tasks be able to start."
  }
}

run "iam_in_place_of_passwords" {
  variables {
    redis = { iam = true }
    beat  = { schedules = "schedules: [{id: a, every: 1h, task: x}]" }
  }

  assert {
    condition     = alltrue([for u in aws_elasticache_user.service : one(u.authentication_mode).type == "iam" && u.user_id == u.user_name])
    error_message = "Users should log in with IAM, for which their IDs and names have to be the same."
  }
  assert {
    condition     = length(aws_secretsmanager_secret.redis_url) == 0 && length(aws_secretsmanager_secret_version.redis_url) == 0
    error_message = "Without a password there should be no secret."
  }
  assert {
    condition = alltrue([for name, d in aws_ecs_task_definition.service : alltrue([
      !contains([for s in jsondecode(d.container_definitions)[0].secrets : s.name], "SERI_REDIS_URL"),
      one([for e in jsondecode(d.container_definitions)[0].environment : e.value if e.name == "SERI_REDIS_IAM_CACHE"]) == "seri",
      can(regex("^rediss\\+cluster://seri-${name}@clustercfg\\.[a-z0-9.]+:6379$", one([for e in jsondecode(d.container_definitions)[0].environment : e.value if e.name == "SERI_REDIS_URL"]))),
    ])])
    error_message = "The URL should name the service's own user, and no password."
  }
  assert {
    condition = keys(aws_iam_role_policy.redis) == ["api", "beat", "worker-default"] && alltrue([
      for name, p in aws_iam_role_policy.redis : jsondecode(p.policy).Statement[0].Action == ["elasticache:Connect"] &&
      jsondecode(p.policy).Statement[0].Resource == [aws_elasticache_replication_group.this.arn, aws_elasticache_user.service[name].arn]
    ])
    error_message = "Each service may log in as its own user only."
  }
  assert {
    condition     = !strcontains(aws_iam_role_policy.execution["beat"].policy, "secretsmanager") && strcontains(aws_iam_role_policy.execution["api"].policy, "secretsmanager")
    error_message = "Who has no secret should read none."
  }
  assert {
    condition     = keys(terraform_data.password) == ["nobody/1"]
    error_message = "Only the user that may do nothing has a password."
  }
}
