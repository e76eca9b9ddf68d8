output "load_balancer" {
  description = "Where the api answers."
  value       = module.seri.load_balancer
}

output "services" {
  description = "The services in the cluster."
  value       = module.seri.services
}

output "task_definitions" {
  description = "What a rollback names."
  value       = module.seri.task_definitions
}

output "log_groups" {
  description = "Where the logs are."
  value       = module.seri.log_groups
}
