# The network: who may talk to whom, in a VPC that is made and in one that is there.

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

run "a_vpc_is_made" {
  variables {
    availability_zones   = 3
    nat_gateway_per_zone = true
  }

  assert {
    condition     = length(aws_subnet.private) == 3 && length(aws_subnet.public) == 3 && length(aws_nat_gateway.this) == 3
    error_message = "There should be subnets and a NAT gateway in three zones."
  }
  assert {
    condition = length(distinct(concat(aws_subnet.private[*].cidr_block, aws_subnet.public[*].cidr_block))) == 6 && (
      concat(aws_subnet.public[*].cidr_block, aws_subnet.private[*].cidr_block) ==
      ["10.20.0.0/20", "10.20.16.0/20", "10.20.32.0/20", "10.20.64.0/18", "10.20.128.0/18", "10.20.192.0/18"]
    )
    error_message = "Subnets should not overlap."
  }
}

run "one_gateway_is_enough_by_default" {
  assert {
    condition     = length(aws_nat_gateway.this) == 1 && length(aws_route_table.private) == 2
    error_message = "There should be one NAT gateway for two zones."
  }
}

run "a_vpc_is_there" {
  variables {
    vpc = {
      id                 = "vpc-0123456789abcdef0"
      private_subnet_ids = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
      public_subnet_ids  = ["subnet-0123456789abcdef2", "subnet-0123456789abcdef3"]
    }
    allowed_cidrs = ["203.0.113.0/24"]
    internal      = true
  }

  assert {
    condition     = length(aws_vpc.this) == 0 && length(aws_subnet.private) == 0 && length(aws_nat_gateway.this) == 0 && length(aws_vpc_endpoint.s3) == 0
    error_message = "Nothing of the network should be made."
  }
  assert {
    condition = (
      one(aws_ecs_service.api.network_configuration).subnets == toset(["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]) &&
      aws_elasticache_subnet_group.this.subnet_ids == toset(["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"])
    )
    error_message = "Tasks and Redis should be in the private subnets."
  }
  assert {
    condition     = aws_lb.this.internal && aws_lb.this.subnets == toset(["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"])
    error_message = "A load balancer that is reached from inside should be inside."
  }
  assert {
    condition     = [for r in aws_vpc_security_group_ingress_rule.load_balancer : [r.cidr_ipv4, r.from_port, r.to_port]] == [["203.0.113.0/24", 443, 443]]
    error_message = "The load balancer should be reached by HTTPS from the given networks only."
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.api.referenced_security_group_id == aws_security_group.load_balancer.id && aws_vpc_security_group_ingress_rule.api.cidr_ipv4 == null
    error_message = "The api should be reached by the load balancer only."
  }
  assert {
    condition     = alltrue([for r in aws_vpc_security_group_ingress_rule.redis : r.cidr_ipv4 == null && r.from_port == 6379 && r.to_port == 6379])
    error_message = "Redis should be reached by services only."
  }
}
