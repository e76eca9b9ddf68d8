mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  registry            = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
  release             = "v0.1.0"
  certificate_arn     = "arn:aws:acm:eu-central-1:123456789012:certificate/0a1b2c3d-0000-4000-8000-000000000000"
  api_keys_secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:seri/api-keys-AbCdEf"
  alarm_emails        = ["on-call@example.com"]
  zone_id             = "Z0123456789ABCDEFGHIJ"
}

run "the_example_is_complete" {
  assert {
    condition     = toset(output.services) == toset(["api", "beat", "worker-bulk", "worker-default"])
    error_message = "The example should have two services of workers, an api and a beat."
  }
  assert {
    condition     = one(one(aws_route53_record.api).alias).name == module.seri.load_balancer.dns_name
    error_message = "The domain should lead to the load balancer."
  }
}
