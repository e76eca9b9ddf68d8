# The relay of events into another system: not there unless it is asked for, and then with what it needs and no more.

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

run "there_is_none_by_default" {
  assert {
    condition = (
      length(aws_ecs_service.relay) == 0 && !contains(keys(aws_ecs_task_definition.service), "relay") && length(aws_vpc_security_group_egress_rule.broker) == 0 &&
      !contains(output.services, "relay") && !contains(keys(aws_elasticache_user.service), "relay")
    )
    error_message = "Without being asked for, nothing of a relay should be made."
  }
  assert {
    condition     = length(aws_cloudwatch_metric_alarm.relay_behind) == 0
    error_message = "Without a relay there should be no alarm about it."
  }
}

run "a_relay" {
  variables {
    relay = { url_secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:broker-AbCdEf", port = 5671, cidrs = ["10.20.64.0/18", "10.20.128.0/18"] }
  }

  assert {
    condition = (
      aws_ecs_service.relay[0].desired_count == 2 && aws_ecs_service.relay[0].deployment_minimum_healthy_percent == 50 &&
      aws_ecs_service.relay[0].deployment_maximum_percent == 200 && [for s in aws_ecs_service.relay[0].capacity_provider_strategy : s.capacity_provider] == ["FARGATE"]
    )
    error_message = "Two relays, not on Spot, of which one may be away during a deployment: they are fenced."
  }
  assert {
    condition = (
      jsondecode(aws_ecs_task_definition.service["relay"].container_definitions)[0].image == var.images.api &&
      contains(jsondecode(aws_ecs_task_definition.service["relay"].container_definitions)[0].environment, { name = "SERI_ROLE", value = "relay" }) &&
      jsondecode(aws_ecs_task_definition.service["relay"].container_definitions)[0].healthCheck.command == ["CMD", "/usr/local/bin/api", "health"]
    )
    error_message = "A relay is the api's program in another role."
  }
  assert {
    condition = (
      [for s in jsondecode(aws_ecs_task_definition.service["relay"].container_definitions)[0].secrets : s.name] == ["SERI_REDIS_URL", "SERI_EVENTS"] &&
      contains(one([for s in jsondecode(aws_iam_role_policy.execution["relay"].policy).Statement : s.Resource if s.Sid == "Secrets"]), var.relay.url_secret_arn) &&
      !contains(one([for s in jsondecode(aws_iam_role_policy.execution["api"].policy).Statement : s.Resource if s.Sid == "Secrets"]), var.relay.url_secret_arn)
    )
    error_message = "A relay should be given the broker's URL by a secret that it alone may read, and no API keys."
  }
  assert {
    condition = (
      strcontains(aws_elasticache_user.service["relay"].access_string, " ~seri:v1:lock:{relay} ") && strcontains(aws_elasticache_user.service["relay"].access_string, " ~seri:v1:{*}:events ") &&
      !strcontains(aws_elasticache_user.service["relay"].access_string, "~asynq:{") && contains(aws_elasticache_user_group.this.user_ids, "seri-relay")
    )
    error_message = "A relay should reach events and its lock, and no task."
  }
  assert {
    condition = (
      toset([for r in aws_vpc_security_group_egress_rule.broker : "${r.cidr_ipv4}:${r.from_port}-${r.to_port}"]) == toset(["10.20.64.0/18:5671-5671", "10.20.128.0/18:5671-5671"]) &&
      alltrue([for r in aws_vpc_security_group_egress_rule.broker : r.security_group_id == aws_security_group.service["relay"].id])
    )
    error_message = "A relay, and nobody else, should reach the broker."
  }
  assert {
    condition     = contains(output.services, "relay") && contains(keys(output.log_groups), "relay")
    error_message = "The relay should be told."
  }
  assert {
    condition = (
      aws_cloudwatch_metric_alarm.relay_behind[0].metric_name == "RelayBehindSeconds" && aws_cloudwatch_metric_alarm.relay_behind[0].dimensions == tomap({ role = "relay" }) &&
      aws_cloudwatch_metric_alarm.relay_behind[0].threshold == 60 && aws_cloudwatch_metric_alarm.relay_behind[0].treat_missing_data == "breaching" &&
      contains(output.alarms, "seri-relay-behind")
    )
    error_message = "Events that wait to be relayed, and nobody who says so, should raise an alarm."
  }
}

run "the_api_reads_there_too" {
  variables {
    relay = { url_secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:broker-AbCdEf", port = 4222, cidrs = ["10.20.64.0/18"], read_by_api = true }
  }

  assert {
    condition = (
      contains([for s in jsondecode(aws_ecs_task_definition.service["api"].container_definitions)[0].secrets : s.name], "SERI_EVENTS") &&
      contains(one([for s in jsondecode(aws_iam_role_policy.execution["api"].policy).Statement : s.Resource if s.Sid == "Secrets"]), var.relay.url_secret_arn) &&
      keys(aws_vpc_security_group_egress_rule.broker) == ["api 10.20.64.0/18", "relay 10.20.64.0/18"]
    )
    error_message = "An api that reads events from the broker needs its URL and a way to it."
  }
}
