# The cluster, and for each service its task definition and the service itself.

resource "aws_ecs_cluster" "this" {
  name = var.name
  tags = local.tags

  setting {
    name  = "containerInsights"
    value = var.container_insights
  }
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name       = aws_ecs_cluster.this.name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]
}

locals {
  containers = {
    for name, s in local.services : name => {
      name      = s.role
      image     = s.image
      essential = true
      user      = "65532:65532"

      readonlyRootFilesystem = !var.enable_execute_command
      stopTimeout            = var.stop_timeout

      linuxParameters = {
        initProcessEnabled = var.enable_execute_command # reaps what sessions leave; the programs start none
        capabilities       = { drop = ["ALL"] }
      }

      environment = [
        for variable, value in merge({
          SERI_LOG_FORMAT  = "json"
          SERI_METRICS_EMF = "true" # metrics as lines of the log: no call, no permission
          # The garbage collector works harder before the task is killed: a tenth is left for what Go does not count.
          GOMEMLIMIT = "${floor((s.memory - var.log_buffer_mb) * 0.9)}MiB"
          }, !var.redis.iam ? {} : {
          SERI_REDIS_URL       = "rediss+cluster://${aws_elasticache_user.service[name].user_name}@${aws_elasticache_replication_group.this.configuration_endpoint_address}:6379"
          SERI_REDIS_IAM_CACHE = aws_elasticache_replication_group.this.replication_group_id
        }, s.environment) : { name = variable, value = value }
      ]

      # The version makes the task definition change with the secret, so that a new password reaches tasks by a deployment,
      # and going back to an older task definition brings back the password that it ran with.
      secrets = concat(
        var.redis.iam ? [] : [{
          name      = "SERI_REDIS_URL"
          valueFrom = "${aws_secretsmanager_secret.redis_url[name].arn}:::${aws_secretsmanager_secret_version.redis_url[name].version_id}"
        }],
        [for variable, arn in s.secrets : { name = variable, valueFrom = arn }],
      )

      portMappings = s.role == "api" ? [{ containerPort = local.api_port, hostPort = local.api_port, protocol = "tcp" }] : []
      mountPoints  = s.role == "worker" ? [{ sourceVolume = "data", containerPath = "/data", readOnly = false }] : []

      # By the program itself: there is no shell. None of the checks asks Redis.
      healthCheck = {
        command     = ["CMD", "/usr/local/bin/${s.program}", "health"]
        interval    = 15
        timeout     = 5
        retries     = 3
        startPeriod = 30
      }

      # A slow CloudWatch must not make the program stand still; what does not fit into the buffer is dropped.
      logConfiguration = {
        logDriver = "awslogs"
        options = {
          awslogs-group         = aws_cloudwatch_log_group.service[name].name
          awslogs-region        = local.region
          awslogs-stream-prefix = "seri"
          mode                  = "non-blocking"
          max-buffer-size       = "${var.log_buffer_mb}m"
        }
      }
    }
  }
}

resource "aws_ecs_task_definition" "service" {
  for_each                 = local.services
  family                   = "${var.name}-${each.key}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = each.value.cpu
  memory                   = each.value.memory
  execution_role_arn       = aws_iam_role.execution[each.key].arn
  task_role_arn            = aws_iam_role.task[each.key].arn
  container_definitions    = jsonencode([local.containers[each.key]])
  skip_destroy             = true # a rollback wants the old ones
  tags                     = local.tags

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.cpu_architecture
  }

  dynamic "volume" {
    for_each = each.value.role == "worker" ? ["data"] : []

    content {
      name = volume.value
    }
  }

  dynamic "ephemeral_storage" {
    for_each = each.value.disk == null ? [] : [each.value.disk]

    content {
      size_in_gib = ephemeral_storage.value
    }
  }
}

resource "aws_ecs_service" "api" {
  name                               = "api"
  cluster                            = aws_ecs_cluster.this.id
  task_definition                    = aws_ecs_task_definition.service["api"].arn
  desired_count                      = local.services["api"].count
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  availability_zone_rebalancing      = "ENABLED"
  health_check_grace_period_seconds  = 30
  enable_execute_command             = var.enable_execute_command
  enable_ecs_managed_tags            = true
  propagate_tags                     = "SERVICE"
  tags                               = local.tags

  capacity_provider_strategy {
    capacity_provider = "FARGATE"
    weight            = 1
  }

  network_configuration {
    subnets         = local.private_subnets
    security_groups = [aws_security_group.service["api"].id]
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.api.arn
    container_name   = "api"
    container_port   = local.api_port
  }

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  depends_on = [aws_lb_listener.https, aws_iam_role_policy.execution, aws_ecs_cluster_capacity_providers.this]
}

resource "aws_ecs_service" "worker" {
  for_each                           = var.workers
  name                               = "worker-${each.key}"
  cluster                            = aws_ecs_cluster.this.id
  task_definition                    = aws_ecs_task_definition.service["worker-${each.key}"].arn
  desired_count                      = each.value.min
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  availability_zone_rebalancing      = "ENABLED"
  enable_execute_command             = var.enable_execute_command
  enable_ecs_managed_tags            = true
  propagate_tags                     = "SERVICE"
  tags                               = local.tags

  capacity_provider_strategy {
    capacity_provider = "FARGATE"
    base              = each.value.on_demand_base
    weight            = each.value.on_demand_weight
  }

  dynamic "capacity_provider_strategy" {
    for_each = each.value.spot_weight > 0 ? [each.value.spot_weight] : []

    content {
      capacity_provider = "FARGATE_SPOT"
      weight            = capacity_provider_strategy.value
    }
  }

  network_configuration {
    subnets         = local.private_subnets
    security_groups = [aws_security_group.service["worker-${each.key}"].id]
  }

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  lifecycle {
    ignore_changes = [desired_count] # it is the scaling's
  }

  depends_on = [aws_iam_role_policy.execution, aws_ecs_cluster_capacity_providers.this]
}

# Beats are fenced: a schedule's tick is compared and set in the step that stores its task, so that two of them at the same
# time, as in every deployment, enqueue nothing twice. Hence no "stop first, then start", which would leave a gap.
resource "aws_ecs_service" "beat" {
  count                              = local.beats == 0 ? 0 : 1
  name                               = "beat"
  cluster                            = aws_ecs_cluster.this.id
  task_definition                    = aws_ecs_task_definition.service["beat"].arn
  desired_count                      = local.beats
  deployment_minimum_healthy_percent = 50
  deployment_maximum_percent         = 200
  availability_zone_rebalancing      = "ENABLED"
  enable_execute_command             = var.enable_execute_command
  enable_ecs_managed_tags            = true
  propagate_tags                     = "SERVICE"
  tags                               = local.tags

  # Not on Spot: its two minutes' notice would be no harm, but a lack of capacity would.
  capacity_provider_strategy {
    capacity_provider = "FARGATE"
    weight            = 1
  }

  network_configuration {
    subnets         = local.private_subnets
    security_groups = [aws_security_group.service["beat"].id]
  }

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  depends_on = [aws_iam_role_policy.execution, aws_ecs_cluster_capacity_providers.this]
}

# Relays lead under a fenced lock, and keep under it how far they have come: as with beats, a second one only waits.
resource "aws_ecs_service" "relay" {
  count                              = var.relay == null ? 0 : 1
  name                               = "relay"
  cluster                            = aws_ecs_cluster.this.id
  task_definition                    = aws_ecs_task_definition.service["relay"].arn
  desired_count                      = local.services["relay"].count
  deployment_minimum_healthy_percent = 50
  deployment_maximum_percent         = 200
  availability_zone_rebalancing      = "ENABLED"
  enable_execute_command             = var.enable_execute_command
  enable_ecs_managed_tags            = true
  propagate_tags                     = "SERVICE"
  tags                               = local.tags

  capacity_provider_strategy {
    capacity_provider = "FARGATE"
    weight            = 1
  }

  network_configuration {
    subnets         = local.private_subnets
    security_groups = [aws_security_group.service["relay"].id]
  }

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  depends_on = [aws_iam_role_policy.execution, aws_ecs_cluster_capacity_providers.this]
}
