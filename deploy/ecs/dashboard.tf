# What the metrics look like side by side. The figures are found by search, so queues and types that come later are shown, too.
resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name
  dashboard_body = templatefile("${path.module}/dashboard.json", { region = local.region })
}
