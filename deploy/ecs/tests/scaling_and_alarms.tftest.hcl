# Scaling and alarms. Names and dimensions of metrics are a contract: the README lists it.

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

run "scaling" {
  variables {
    alarm_topic_arns = ["arn:aws:sns:eu-central-1:123456789012:on-call"]
    redis            = { shards = 2, replicas = 1 }
    beat             = { schedules = "schedules: [{id: a, every: 1h, task: x}]" }
    workers = {
      default = { min = 1, max = 4, backlog_per_slot = 5, queues = { default = 1, shared = 1 }, alarm_age = 600 }
      mail    = { min = 0, max = 20, backlog_per_slot = 2, queues = { mail = 3, shared = 1 }, alarm_age = 60 }
      fixed   = { min = 2, max = 2, queues = { fixed = 1 } }
    }
  }

  assert {
    condition = (
      aws_appautoscaling_target.worker["mail"].min_capacity == 0 && aws_appautoscaling_target.worker["mail"].max_capacity == 20 &&
      aws_appautoscaling_target.worker["mail"].resource_id == "service/seri/worker-mail"
    )
    error_message = "The service of workers should scale between its bounds."
  }
  assert {
    condition     = keys(aws_appautoscaling_policy.backlog) == ["default", "mail"] && keys(aws_appautoscaling_policy.from_zero) == ["mail"]
    error_message = "Policies are for services that have something to choose, and for those that may be at zero."
  }
  assert {
    condition = (
      one(aws_appautoscaling_policy.backlog["mail"].target_tracking_scaling_policy_configuration).target_value == 2 &&
      toset(flatten([for m in one(one(aws_appautoscaling_policy.backlog["mail"].target_tracking_scaling_policy_configuration).customized_metric_specification).metrics :
        [for s in m.metric_stat : [for x in s.metric : [for d in x.dimensions : "${x.namespace}/${x.metric_name} ${d.name}=${d.value}"]]]
      ])) == toset(["Seri/BacklogPerSlot queue=mail", "Seri/BacklogPerSlot queue=shared"])
    )
    error_message = "Scaling should track the backlog per slot of the service's queues."
  }
  assert {
    condition     = [for m in one(one(aws_appautoscaling_policy.backlog["mail"].target_tracking_scaling_policy_configuration).customized_metric_specification).metrics : m.expression if m.return_data] == ["MAX([q0, q1])"]
    error_message = "The worst queue should decide."
  }
  assert {
    condition     = one(aws_appautoscaling_policy.from_zero["mail"].step_scaling_policy_configuration).adjustment_type == "ChangeInCapacity" && one(one(aws_appautoscaling_policy.from_zero["mail"].step_scaling_policy_configuration).step_adjustment).scaling_adjustment == 1
    error_message = "From zero, one worker is started."
  }
  assert {
    condition = (
      [for q in aws_cloudwatch_metric_alarm.from_zero["mail"].metric_query : q.expression if q.return_data == true] == ["IF(FILL(running, 0) > 0, 0, MAX([q0, q1]))"] &&
      aws_cloudwatch_metric_alarm.from_zero["mail"].alarm_actions == toset([aws_appautoscaling_policy.from_zero["mail"].arn])
    )
    error_message = "The first worker should be started only where none runs and tasks wait."
  }

  # Alarms

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.no_leader[0].metric_name == "BeatLeaders" && aws_cloudwatch_metric_alarm.no_leader[0].dimensions == tomap({ role = "beat" }) &&
      aws_cloudwatch_metric_alarm.no_leader[0].treat_missing_data == "breaching"
    )
    error_message = "No leader, and nobody who says so, should raise an alarm."
  }
  assert {
    condition     = { for q, a in aws_cloudwatch_metric_alarm.oldest_task : q => a.threshold } == { default = 600, shared = 60, mail = 60, fixed = 300 }
    error_message = "The shortest patience of a queue's workers counts."
  }
  assert {
    condition     = alltrue([for q, a in aws_cloudwatch_metric_alarm.oldest_task : a.namespace == "Seri" && a.metric_name == "OldestPendingAgeSeconds" && a.dimensions == tomap({ queue = q })])
    error_message = "The age of the oldest task is told by queue."
  }
  assert {
    condition     = alltrue([for a in aws_cloudwatch_metric_alarm.archived : [for q in a.metric_query : q.expression if q.return_data == true] == ["DIFF(archived)"]])
    error_message = "The growth of the archive counts, not its size."
  }
  assert {
    condition     = alltrue([for q, a in aws_cloudwatch_metric_alarm.fence : a.metric_name == "FenceAheadMicros" && a.threshold == 1000000])
    error_message = "A fence that is a second ahead of the clock should raise an alarm."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.redis_memory.metric_name == "RedisMemoryUsedRatio" && aws_cloudwatch_metric_alarm.redis_memory.threshold == 0.85
    error_message = "Memory should raise an alarm at 85 %."
  }
  assert {
    condition     = keys(aws_cloudwatch_metric_alarm.node_memory) == ["seri-0001-001", "seri-0001-002", "seri-0002-001", "seri-0002-002"] && aws_cloudwatch_metric_alarm.node_memory["seri-0001-001"].threshold == 85
    error_message = "Each node should raise an alarm at 85 % of its memory."
  }
  assert {
    condition = alltrue([for a in concat(
      aws_cloudwatch_metric_alarm.no_leader, values(aws_cloudwatch_metric_alarm.oldest_task), values(aws_cloudwatch_metric_alarm.archived),
      values(aws_cloudwatch_metric_alarm.fence), [aws_cloudwatch_metric_alarm.redis_memory, aws_cloudwatch_metric_alarm.api_errors],
      values(aws_cloudwatch_metric_alarm.node_memory), values(aws_cloudwatch_metric_alarm.node_cpu),
    ) : a.alarm_actions == toset(var.alarm_topic_arns) && a.ok_actions == toset(var.alarm_topic_arns)])
    error_message = "Alarms and their ends should be told to somebody."
  }
  assert {
    condition = alltrue([for w in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : w.properties.region == local.region]) && alltrue([
      for c in local.containers : contains(c.environment, { name = "SERI_METRICS_EMF", value = "true" })
    ])
    error_message = "There should be a dashboard, and figures for it from every service."
  }
  assert {
    condition     = length(output.alarms) == 3 + 3 * 4 + 2 * 4 && !contains(output.alarms, "seri-mail-from-zero")
    error_message = "The alarms that call a person should be listed, and no others."
  }
}
