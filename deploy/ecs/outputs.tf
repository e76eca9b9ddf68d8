output "load_balancer" {
  description = "Where the api answers: point the name of the certificate here, by an alias record with the zone."
  value = {
    dns_name = aws_lb.this.dns_name
    zone_id  = aws_lb.this.zone_id
    arn      = aws_lb.this.arn
  }
}

output "cluster" {
  description = "The ECS cluster: name and ARN."
  value = {
    name = aws_ecs_cluster.this.name
    arn  = aws_ecs_cluster.this.arn
  }
}

output "services" {
  description = "The names of the services in the cluster."
  value       = concat([aws_ecs_service.api.name], [for s in aws_ecs_service.worker : s.name], aws_ecs_service.beat[*].name, aws_ecs_service.relay[*].name)
}

output "task_definitions" {
  description = "The task definitions by service, with their revisions: what a rollback names."
  value       = { for name, definition in aws_ecs_task_definition.service : name => definition.arn }
}

output "task_roles" {
  description = "The names of the task roles by service, to attach further policies to."
  value       = { for name, role in aws_iam_role.task : name => role.name }
}

output "log_groups" {
  description = "The log groups by service."
  value       = { for name, group in aws_cloudwatch_log_group.service : name => group.name }
}

output "redis" {
  description = "The endpoint of Redis, which takes TLS only, and its replication group."
  value = {
    endpoint          = aws_elasticache_replication_group.this.configuration_endpoint_address
    replication_group = aws_elasticache_replication_group.this.id
  }
}

output "redis_url_secret_arns" {
  description = "The secrets with SERI_REDIS_URL, by service."
  value       = { for name, secret in aws_secretsmanager_secret.redis_url : name => secret.arn }
}

output "network" {
  description = "The VPC, its private subnets, and the security groups of the services, by service, and of Redis."
  value = {
    vpc_id             = local.vpc_id
    private_subnet_ids = local.private_subnets
    security_groups    = merge({ for name, group in aws_security_group.service : name => group.id }, { redis = aws_security_group.redis.id })
  }
}

output "alarms" {
  description = "The names of the alarms that call a person."
  value = sort(concat(
    aws_cloudwatch_metric_alarm.no_leader[*].alarm_name,
    aws_cloudwatch_metric_alarm.relay_behind[*].alarm_name,
    [aws_cloudwatch_metric_alarm.redis_memory.alarm_name, aws_cloudwatch_metric_alarm.api_errors.alarm_name],
    [for a in aws_cloudwatch_metric_alarm.oldest_task : a.alarm_name],
    [for a in aws_cloudwatch_metric_alarm.archived : a.alarm_name],
    [for a in aws_cloudwatch_metric_alarm.fence : a.alarm_name],
    [for a in aws_cloudwatch_metric_alarm.node_memory : a.alarm_name],
    [for a in aws_cloudwatch_metric_alarm.node_cpu : a.alarm_name],
  ))
}
