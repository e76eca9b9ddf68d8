# The load balancer: HTTPS only, for a client that sends its key in the clear should fail and not be led elsewhere.

resource "aws_lb" "this" {
  name                       = var.name
  load_balancer_type         = "application"
  internal                   = var.internal
  subnets                    = var.internal ? local.private_subnets : local.public_subnets
  security_groups            = [aws_security_group.load_balancer.id]
  idle_timeout               = var.idle_timeout
  drop_invalid_header_fields = true
  enable_deletion_protection = var.deletion_protection
  tags                       = local.tags

  dynamic "access_logs" {
    for_each = var.access_logs_bucket == null ? [] : [var.access_logs_bucket]

    content {
      bucket  = access_logs.value
      prefix  = var.name
      enabled = true
    }
  }
}

resource "aws_lb_target_group" "api" {
  name_prefix          = "seri-"
  vpc_id               = local.vpc_id
  target_type          = "ip"
  port                 = local.api_port
  protocol             = "HTTP"
  protocol_version     = "HTTP1" # WebSockets
  deregistration_delay = var.deregistration_delay
  tags                 = local.tags

  # /readyz says no while Redis cannot be reached, and ECS replaces tasks whose target is unhealthy: a failover of Redis,
  # which takes seconds up to half a minute, must not get that far.
  health_check {
    path                = "/readyz"
    matcher             = "200"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 9
  }

  # Streams resume at any task, so nothing has to stick to one.
  stickiness {
    type    = "lb_cookie"
    enabled = false
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_lb_listener" "https" {
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = var.certificate_arn
  tags              = local.tags

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.api.arn
  }
}
