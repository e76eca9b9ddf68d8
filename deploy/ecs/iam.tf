# Two roles for each service. The execution role is the agent's, which pulls the image, reads the secrets and opens the log;
# the task role is what the program itself may do in AWS: the api may read the logs of workers, a worker may protect itself
# from scale-in, and what it is given.

locals {
  # Tasks of this account and region only.
  assume = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account }
        ArnLike      = { "aws:SourceArn" = "arn:${data.aws_partition.current.partition}:ecs:${local.region}:${local.account}:*" }
      }
    }]
  })

  # Repositories of ECR among the images; images from elsewhere need no permission.
  repositories = {
    for name, s in local.services : name => [
      for parts in regexall("^([0-9]{12})\\.dkr\\.ecr\\.([a-z0-9-]+)\\.amazonaws\\.com(?:\\.cn)?/([^:@]+)", s.image) :
      "arn:${data.aws_partition.current.partition}:ecr:${parts[1]}:${parts[0]}:repository/${parts[2]}"
    ]
  }
  # A secret is named by its ARN, which may be followed by :key:stage:version.
  secret_arns = {
    for name, s in local.services : name => concat(
      var.redis.iam ? [] : [aws_secretsmanager_secret.redis_url[name].arn],
      [for value in values(s.secrets) : join(":", slice(split(":", value), 0, 7))],
    )
  }
}

resource "aws_iam_role" "execution" {
  for_each           = local.services
  name               = "${var.name}-${each.key}-execution"
  description        = "Starts tasks of ${var.name}-${each.key}"
  assume_role_policy = local.assume
  tags               = local.tags
}

resource "aws_iam_role" "task" {
  for_each           = local.services
  name               = "${var.name}-${each.key}-task"
  description        = "What tasks of ${var.name}-${each.key} may do"
  assume_role_policy = local.assume
  tags               = local.tags
}

resource "aws_iam_role_policy" "execution" {
  for_each = local.services
  name     = "start"
  role     = aws_iam_role.execution[each.key].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "Log"
          Effect   = "Allow"
          Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
          Resource = ["${aws_cloudwatch_log_group.service[each.key].arn}:*"]
        },
      ],
      length(local.secret_arns[each.key]) == 0 ? [] : [
        {
          Sid      = "Secrets"
          Effect   = "Allow"
          Action   = ["secretsmanager:GetSecretValue"]
          Resource = local.secret_arns[each.key]
        },
      ],
      length(local.repositories[each.key]) == 0 ? [] : [
        {
          Sid      = "Pull"
          Effect   = "Allow"
          Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
          Resource = local.repositories[each.key]
        },
        {
          Sid      = "PullLogin" # has no resource
          Effect   = "Allow"
          Action   = ["ecr:GetAuthorizationToken"]
          Resource = ["*"]
        },
      ],
      var.kms_key_arn == null ? [] : [
        {
          Sid      = "DecryptSecrets"
          Effect   = "Allow"
          Action   = ["kms:Decrypt"]
          Resource = [var.kms_key_arn]
        },
      ],
    )
  })
}

resource "aws_iam_role_policy" "task" {
  for_each = { for name, s in local.services : name => s.policy_json if s.policy_json != null }
  name     = "tasks"
  role     = aws_iam_role.task[each.key].id
  policy   = each.value
}

# Which task it protects is up to the agent, who names its own. The role could name others of the cluster: ECS knows no
# resource that is "the task itself".
resource "aws_iam_role_policy" "protection" {
  for_each = { for name, w in var.workers : "worker-${name}" => w if w.protect_minutes > 0 }
  name     = "protection"
  role     = aws_iam_role.task[each.key].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "ProtectFromScaleIn"
      Effect   = "Allow"
      Action   = ["ecs:GetTaskProtection", "ecs:UpdateTaskProtection"]
      Resource = ["arn:${data.aws_partition.current.partition}:ecs:${local.region}:${local.account}:task/${var.name}/*"]
    }]
  })
}

# Each service as its own user of Redis, and as no other.
resource "aws_iam_role_policy" "redis" {
  for_each = var.redis.iam ? local.services : {}
  name     = "redis"
  role     = aws_iam_role.task[each.key].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "LogIn"
      Effect   = "Allow"
      Action   = ["elasticache:Connect"]
      Resource = [aws_elasticache_replication_group.this.arn, aws_elasticache_user.service[each.key].arn]
    }]
  })
}

# Exactly the lines of a task, for GET /v1/tasks/{id}/logs. Workers keep with a task where they are.
resource "aws_iam_role_policy" "task_logs" {
  name = "task-logs"
  role = aws_iam_role.task["api"].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "ReadTaskLogs"
      Effect   = "Allow"
      Action   = ["logs:FilterLogEvents"]
      Resource = [for name in keys(var.workers) : "${aws_cloudwatch_log_group.service["worker-${name}"].arn}:*"]
    }]
  })
}

resource "aws_iam_role_policy" "exec" {
  for_each = var.enable_execute_command ? local.services : {}
  name     = "exec"
  role     = aws_iam_role.task[each.key].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid    = "Exec"
      Effect = "Allow"
      Action = [
        "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel",
      ]
      Resource = ["*"] # has no resource
    }]
  })
}
