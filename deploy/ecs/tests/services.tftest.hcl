# The services, as ECS will see them.

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

run "services" {
  variables {
    beat = {
      schedules = <<-EOT
        schedules:
          - {id: nightly, cron: "0 3 * * *", task: csv.profile, payload: {source: "https://example.com/a.csv"}, queue: reports}
          - {id: warm, every: 90s, task: http.request, payload: {url: "https://example.com/"}}
      EOT
    }
    workers = {
      default = { queues = { default = 1 }, min = 1, max = 4, secrets = { MAIL_TOKEN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:mail-AbCdEf:token::" } }
      mail    = { queues = { mail = 3, bulk = 1 }, min = 0, max = 20, slots = 50, on_demand_base = 0, on_demand_weight = 1, spot_weight = 4, cpu = 512, memory = 1024 }
    }
  }

  # Every container

  assert {
    condition     = length(aws_ecs_task_definition.service) == 4
    error_message = "There should be an api, two workers and a beat."
  }
  assert {
    condition     = alltrue([for d in aws_ecs_task_definition.service : jsondecode(d.container_definitions)[0].readonlyRootFilesystem])
    error_message = "Every root file system should be read-only."
  }
  assert {
    condition     = alltrue([for d in aws_ecs_task_definition.service : jsondecode(d.container_definitions)[0].user == "65532:65532"])
    error_message = "No container should run as root."
  }
  assert {
    condition     = alltrue([for d in aws_ecs_task_definition.service : jsondecode(d.container_definitions)[0].linuxParameters.capabilities.drop == ["ALL"]])
    error_message = "No container should have capabilities."
  }
  assert {
    condition     = alltrue([for d in aws_ecs_task_definition.service : jsondecode(d.container_definitions)[0].stopTimeout == 120])
    error_message = "Every container should get the most time to stop that Fargate grants."
  }
  assert {
    condition = alltrue([for d in aws_ecs_task_definition.service :
      jsondecode(d.container_definitions)[0].logConfiguration.logDriver == "awslogs" &&
      jsondecode(d.container_definitions)[0].logConfiguration.options.mode == "non-blocking" &&
      jsondecode(d.container_definitions)[0].logConfiguration.options["max-buffer-size"] == "25m"
    ])
    error_message = "Mode and buffer of logs should be explicit: the defaults have changed before."
  }
  assert {
    condition = alltrue([for name, d in aws_ecs_task_definition.service :
      jsondecode(d.container_definitions)[0].healthCheck.command == ["CMD", "/usr/local/bin/${split("-", name)[0]}", "health"]
    ])
    error_message = "Every container should be checked by its own program: there is no shell."
  }
  assert {
    condition = alltrue([for d in aws_ecs_task_definition.service :
      contains([for s in jsondecode(d.container_definitions)[0].secrets : s.name], "SERI_REDIS_URL") &&
      !contains([for e in jsondecode(d.container_definitions)[0].environment : e.name], "SERI_REDIS_URL")
    ])
    error_message = "The URL of Redis holds a password and should come from a secret, not from the environment."
  }
  assert {
    condition = alltrue(flatten([for d in aws_ecs_task_definition.service :
      [for s in jsondecode(d.container_definitions)[0].secrets : startswith(s.valueFrom, "arn:aws:secretsmanager:")]
    ]))
    error_message = "Secrets should be given by ARN."
  }
  assert {
    condition     = alltrue([for d in aws_ecs_task_definition.service : !strcontains(d.container_definitions, "rediss")])
    error_message = "A password stands in a task definition."
  }
  assert {
    condition = alltrue([for d in aws_ecs_task_definition.service :
      [for s in jsondecode(d.container_definitions)[0].secrets : s.valueFrom if s.name == "SERI_REDIS_URL"] ==
      ["arn:aws:secretsmanager:eu-central-1:123456789012:secret:seri/mock/redis-url-AbCdEf:::11111111-2222-3333-4444-555555555555"]
    ])
    error_message = "The secret should be named with its version, so that a new password is a new task definition."
  }
  assert {
    condition     = alltrue([for d in aws_ecs_task_definition.service : d.network_mode == "awsvpc" && d.skip_destroy && one(d.runtime_platform).cpu_architecture == "ARM64"])
    error_message = "Task definitions should be for Fargate on ARM64, and be kept for a rollback."
  }
  assert {
    condition     = [for e in jsondecode(aws_ecs_task_definition.service["worker-mail"].container_definitions)[0].environment : e.value if e.name == "GOMEMLIMIT"] == ["899MiB"]
    error_message = "Go's memory limit should be nine tenths of what the log buffer leaves of 1024 MiB."
  }

  # The roles

  assert {
    condition     = [for e in jsondecode(aws_ecs_task_definition.service["worker-mail"].container_definitions)[0].environment : e.value if e.name == "SERI_QUEUES"] == ["bulk=1,mail=3"]
    error_message = "A worker should serve its queues with their weights."
  }
  assert {
    condition     = [for e in jsondecode(aws_ecs_task_definition.service["worker-mail"].container_definitions)[0].environment : e.value if e.name == "SERI_GRACE"] == ["110s"]
    error_message = "A worker should let tasks end within the time to stop, and have 10 s left to hand back and say so."
  }
  assert {
    condition = (
      jsondecode(aws_ecs_task_definition.service["worker-default"].container_definitions)[0].mountPoints[0].containerPath == "/data" &&
      one(aws_ecs_task_definition.service["worker-default"].volume).name == "data"
    )
    error_message = "A worker's files should go to a volume."
  }
  assert {
    condition     = [for s in jsondecode(aws_ecs_task_definition.service["api"].container_definitions)[0].secrets : s.name] == ["SERI_REDIS_URL", "SERI_API_KEYS"]
    error_message = "The api should get the hashes of its keys from their secret."
  }
  assert {
    condition     = strcontains([for e in jsondecode(aws_ecs_task_definition.service["beat"].container_definitions)[0].environment : e.value if e.name == "SERI_SCHEDULES_TEXT"][0], "id: nightly")
    error_message = "The beat should be given its schedules."
  }
  assert {
    condition = (
      aws_ecs_service.beat[0].desired_count == 2 && aws_ecs_service.beat[0].deployment_minimum_healthy_percent == 50 &&
      aws_ecs_service.beat[0].deployment_maximum_percent == 200
    )
    error_message = "Two beats, of which one may be away during a deployment, and four at most: they are fenced."
  }
  assert {
    condition     = [for s in aws_ecs_service.beat[0].capacity_provider_strategy : s.capacity_provider] == ["FARGATE"] && [for s in aws_ecs_service.api.capacity_provider_strategy : s.capacity_provider] == ["FARGATE"]
    error_message = "Beats and apis should not be on Spot."
  }
  assert {
    condition = (
      { for s in aws_ecs_service.worker["mail"].capacity_provider_strategy : s.capacity_provider => s.weight } == { FARGATE = 1, FARGATE_SPOT = 4 } &&
      { for s in aws_ecs_service.worker["default"].capacity_provider_strategy : s.capacity_provider => s.weight } == { FARGATE = 1 }
    )
    error_message = "Workers should be on Spot as far as they are weighted so."
  }
  assert {
    condition = alltrue([for s in concat([aws_ecs_service.api], values(aws_ecs_service.worker), aws_ecs_service.beat) :
      one(s.deployment_circuit_breaker).enable && one(s.deployment_circuit_breaker).rollback && one(s.network_configuration).assign_public_ip != true
    ])
    error_message = "A deployment that fails should roll back by itself, and no task should have a public address."
  }

  # The load balancer

  assert {
    condition     = aws_lb.this.idle_timeout == 120 && tonumber(aws_lb_target_group.api.deregistration_delay) == 45
    error_message = "Live connections need a long idle timeout, and deployments a short deregistration delay."
  }
  assert {
    condition     = one(aws_lb_target_group.api.health_check).path == "/readyz" && one(aws_lb_target_group.api.health_check).interval * one(aws_lb_target_group.api.health_check).unhealthy_threshold >= 60
    error_message = "The target group should ask /readyz, and outlast a failover of Redis."
  }
  assert {
    condition     = aws_lb_listener.https.protocol == "HTTPS" && aws_lb_listener.https.port == 443 && strcontains(aws_lb_listener.https.ssl_policy, "TLS13")
    error_message = "The listener should take TLS 1.2 and newer only."
  }

  # Logs

  assert {
    condition     = alltrue([for g in aws_cloudwatch_log_group.service : g.retention_in_days == 30])
    error_message = "Logs should not be kept for ever."
  }

  assert {
    condition     = toset(output.services) == toset(["api", "beat", "worker-default", "worker-mail"])
    error_message = "The services should be told."
  }
}

run "a_session_needs_a_writable_root" {
  variables {
    enable_execute_command = true
  }

  assert {
    condition     = !jsondecode(aws_ecs_task_definition.service["api"].container_definitions)[0].readonlyRootFilesystem && aws_ecs_service.api.enable_execute_command
    error_message = "ECS Exec and a read-only root exclude each other."
  }
  assert {
    condition     = strcontains(aws_iam_role_policy.exec["api"].policy, "ssmmessages:OpenDataChannel")
    error_message = "ECS Exec needs its permissions."
  }
}

run "without_schedules_there_is_no_beat" {
  assert {
    condition     = length(aws_ecs_service.beat) == 0 && length(aws_cloudwatch_metric_alarm.no_leader) == 0 && !contains(keys(aws_iam_role.task), "beat")
    error_message = "Without schedules there should be no beat and no alarm about it."
  }
}
