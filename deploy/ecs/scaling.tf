# Workers follow the backlog and nothing else: a second policy, on CPU say, would keep this one from scaling in.

resource "aws_appautoscaling_target" "worker" {
  for_each           = var.workers
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${aws_ecs_cluster.this.name}/${aws_ecs_service.worker[each.key].name}"
  min_capacity       = each.value.min
  max_capacity       = each.value.max
  tags               = local.tags
}

# The worst of the service's queues decides.
resource "aws_appautoscaling_policy" "backlog" {
  for_each           = { for name, w in var.workers : name => w if w.max > w.min }
  name               = "${var.name}-${each.key}-backlog"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.worker[each.key].service_namespace
  scalable_dimension = aws_appautoscaling_target.worker[each.key].scalable_dimension
  resource_id        = aws_appautoscaling_target.worker[each.key].resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = each.value.backlog_per_slot
    scale_out_cooldown = 60
    scale_in_cooldown  = 300

    customized_metric_specification {
      dynamic "metrics" {
        for_each = { for i, queue in sort(keys(each.value.queues)) : "q${i}" => queue }

        content {
          id          = metrics.key
          return_data = false

          metric_stat {
            stat = "Average"

            metric {
              namespace   = "Seri"
              metric_name = "BacklogPerSlot"

              dimensions {
                name  = "queue"
                value = metrics.value
              }
            }
          }
        }
      }

      metrics {
        id          = "worst"
        label       = "Backlog per slot of the worst queue"
        expression  = "MAX([${join(", ", [for i, queue in sort(keys(each.value.queues)) : "q${i}"])}])"
        return_data = true
      }
    }
  }
}

# Target tracking multiplies what is there, so it cannot leave zero. This starts the first worker, and only the first: how
# many there are is told by the number of reports of their CPU, which costs nothing.
resource "aws_appautoscaling_policy" "from_zero" {
  for_each           = { for name, w in var.workers : name => w if w.min == 0 }
  name               = "${var.name}-${each.key}-from-zero"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.worker[each.key].service_namespace
  scalable_dimension = aws_appautoscaling_target.worker[each.key].scalable_dimension
  resource_id        = aws_appautoscaling_target.worker[each.key].resource_id

  step_scaling_policy_configuration {
    adjustment_type         = "ChangeInCapacity"
    metric_aggregation_type = "Maximum"
    cooldown                = 120

    step_adjustment {
      metric_interval_lower_bound = 0
      scaling_adjustment          = 1
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "from_zero" {
  for_each            = aws_appautoscaling_policy.from_zero
  alarm_name          = "${var.name}-${each.key}-from-zero"
  alarm_description   = "Not a fault: tasks wait for the workers ${each.key}, of which none runs. Starts the first."
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [each.value.arn]
  tags                = local.tags

  dynamic "metric_query" {
    for_each = { for i, queue in sort(keys(var.workers[each.key].queues)) : "q${i}" => queue }

    content {
      id = metric_query.key

      metric {
        namespace   = "Seri"
        metric_name = "BacklogPerSlot"
        dimensions  = { queue = metric_query.value }
        period      = 60
        stat        = "Maximum"
      }
    }
  }

  metric_query {
    id = "running"

    metric {
      namespace   = "AWS/ECS"
      metric_name = "CPUUtilization"
      dimensions  = { ClusterName = aws_ecs_cluster.this.name, ServiceName = aws_ecs_service.worker[each.key].name }
      period      = 60
      stat        = "SampleCount"
    }
  }

  metric_query {
    id          = "waiting"
    label       = "Tasks that wait while no worker runs"
    expression  = "IF(FILL(running, 0) > 0, 0, MAX([${join(", ", [for i, queue in sort(keys(var.workers[each.key].queues)) : "q${i}"])}]))"
    return_data = true
  }
}
