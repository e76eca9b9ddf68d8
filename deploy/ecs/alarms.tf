# Alarms, each for something that a person has to look at; the description says what to look at first.

locals {
  # How long the oldest task of a queue may wait: the shortest of what its workers say.
  alarm_age = {
    for queue in local.queues : queue => min([for w in values(var.workers) : w.alarm_age if contains(keys(w.queues), queue)]...)
  }
}

resource "aws_cloudwatch_metric_alarm" "no_leader" {
  count               = local.beats == 0 ? 0 : 1
  alarm_name          = "${var.name}-no-leading-beat"
  alarm_description   = "No beat leads, so no schedule ticks. Logs of the beats: who says \"beat leads\"? Can they reach Redis?"
  namespace           = "Seri"
  metric_name         = "BeatLeaders"
  dimensions          = { role = "beat" }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 3
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching" # whoever would tell is gone
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = local.tags
}

resource "aws_cloudwatch_metric_alarm" "relay_behind" {
  count               = var.relay == null ? 0 : 1
  alarm_name          = "${var.name}-relay-behind"
  alarm_description   = "Events wait for more than a minute to be relayed, or no relay says that they do not. Logs of the relays: who says \"could not relay events\", and why? Does the broker take messages? What Redis trims meanwhile never reaches the broker."
  namespace           = "Seri"
  metric_name         = "RelayBehindSeconds"
  dimensions          = { role = "relay" }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = 60
  treat_missing_data  = "breaching" # whoever would tell is gone
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = local.tags
}

resource "aws_cloudwatch_metric_alarm" "oldest_task" {
  for_each            = local.queues
  alarm_name          = "${var.name}-oldest-task-${each.value}"
  alarm_description   = "A task of the queue ${each.value} has waited for more than ${local.alarm_age[each.value]} s. Is there a worker for its type? Is the queue paused? Has scaling reached its maximum?"
  namespace           = "Seri"
  metric_name         = "OldestPendingAgeSeconds"
  dimensions          = { queue = each.value }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = local.alarm_age[each.value]
  treat_missing_data  = "missing"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = local.tags
}

resource "aws_cloudwatch_metric_alarm" "archived" {
  for_each            = local.queues
  alarm_name          = "${var.name}-archived-${each.value}"
  alarm_description   = "More than ${var.archived_growth} tasks of the queue ${each.value} have failed for good within 15 minutes. seri inspect ${each.value} --state failed shows why."
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.archived_growth
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = local.tags

  metric_query {
    id = "archived"

    metric {
      namespace   = "Seri"
      metric_name = "ArchivedTotal"
      dimensions  = { queue = each.value }
      period      = 900
      stat        = "Maximum"
    }
  }

  metric_query {
    id          = "growth"
    label       = "Growth in 15 minutes"
    expression  = "DIFF(archived)"
    return_data = true
  }
}

resource "aws_cloudwatch_metric_alarm" "fence" {
  for_each            = local.queues
  alarm_name          = "${var.name}-fence-ahead-${each.value}"
  alarm_description   = "The fencing tokens of the queue ${each.value} are more than a second ahead of Redis' clock: it has been set back, or another node with a slower clock has taken over. Nothing is wrong yet; a further step back would cost nothing either, but clocks should be mended."
  namespace           = "Seri"
  metric_name         = "FenceAheadMicros"
  dimensions          = { queue = each.value }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  comparison_operator = "GreaterThanThreshold"
  threshold           = 1000000
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = local.tags
}

resource "aws_cloudwatch_metric_alarm" "redis_memory" {
  alarm_name          = "${var.name}-redis-memory"
  alarm_description   = "Redis uses more than 85 % of its memory. When it is full, new tasks are refused and the rest drains. Shorten the retention of results, or take larger nodes."
  namespace           = "Seri"
  metric_name         = "RedisMemoryUsedRatio"
  dimensions          = { role = "beat" }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0.85
  treat_missing_data  = "missing"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = local.tags
}

# What ElastiCache itself says, node by node, also while nobody of ours can ask.
resource "aws_cloudwatch_metric_alarm" "node_memory" {
  for_each            = local.redis_nodes
  alarm_name          = "${var.name}-node-memory-${each.value}"
  alarm_description   = "The Redis node ${each.value} uses more than 85 % of its memory."
  namespace           = "AWS/ElastiCache"
  metric_name         = "DatabaseMemoryUsagePercentage"
  dimensions          = { CacheClusterId = each.value }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  comparison_operator = "GreaterThanThreshold"
  threshold           = 85
  treat_missing_data  = "missing"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = local.tags

  depends_on = [aws_elasticache_replication_group.this]
}

resource "aws_cloudwatch_metric_alarm" "node_cpu" {
  for_each            = local.redis_nodes
  alarm_name          = "${var.name}-node-cpu-${each.value}"
  alarm_description   = "The one thread of the Redis node ${each.value} is busy for more than 80 %. One queue lives on one shard: spread the load over queues and shards, or take a faster type of node."
  namespace           = "AWS/ElastiCache"
  metric_name         = "EngineCPUUtilization"
  dimensions          = { CacheClusterId = each.value }
  statistic           = "Average"
  period              = 60
  evaluation_periods  = 10
  comparison_operator = "GreaterThanThreshold"
  threshold           = 80
  treat_missing_data  = "missing"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = local.tags

  depends_on = [aws_elasticache_replication_group.this]
}

resource "aws_cloudwatch_metric_alarm" "api_errors" {
  alarm_name          = "${var.name}-api-errors"
  alarm_description   = "The api answers requests with 5xx. Its log: \"store did not answer\" or \"store is full\"?"
  namespace           = "AWS/ApplicationELB"
  metric_name         = "HTTPCode_Target_5XX_Count"
  dimensions          = { LoadBalancer = aws_lb.this.arn_suffix, TargetGroup = aws_lb_target_group.api.arn_suffix }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = 10
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = local.tags
}
