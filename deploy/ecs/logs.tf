resource "aws_cloudwatch_log_group" "service" {
  for_each          = local.services
  name              = "/seri/${var.name}/${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
  tags              = local.tags
}
