variable "name" {
  description = "Begins the name of everything that is made here. One installation of Seri per name."
  type        = string
  default     = "seri"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,16}[a-z0-9]$", var.name)) && !strcontains(var.name, "--")
    error_message = "name must be 3 to 18 of a-z, 0-9 and single hyphens, beginning with a letter: load balancers and ElastiCache take no more."
  }
}

variable "tags" {
  description = "Tags of everything that can have some."
  type        = map(string)
  default     = {}
}

# Images

variable "images" {
  description = "The images of the roles, each with a tag that never moves, or a digest. Their targets are in the Dockerfile."
  type = object({
    api    = string
    worker = string
    beat   = string
  })

  validation {
    condition = alltrue([
      for image in values(var.images) :
      strcontains(image, "@sha256:") || can(regex(":[A-Za-z0-9_][A-Za-z0-9_.-]*$", image)) && !endswith(image, ":latest")
    ])
    error_message = "Every image needs a tag or a digest, and not the tag latest: a rollback must bring back what ran before."
  }
}

variable "cpu_architecture" {
  description = "ARM64 or X86_64, as the images were built. ARM64 is a fifth cheaper."
  type        = string
  default     = "ARM64"

  validation {
    condition     = contains(["ARM64", "X86_64"], var.cpu_architecture)
    error_message = "cpu_architecture must be ARM64 or X86_64."
  }
}

# Network

variable "vpc" {
  description = "An existing VPC: tasks and Redis go to the private subnets, the load balancer to the public ones. null: one is made."
  type = object({
    id                 = string
    private_subnet_ids = list(string)
    public_subnet_ids  = list(string)
  })
  default = null

  validation {
    condition     = var.vpc == null ? true : length(var.vpc.private_subnet_ids) >= 2 && length(var.vpc.public_subnet_ids) >= 2
    error_message = "vpc needs two private and two public subnets at least, in different availability zones."
  }
}

variable "vpc_cidr" {
  description = "Addresses of the VPC that is made: from a /16 to a /22."
  type        = string
  default     = "10.20.0.0/16"

  validation {
    condition     = can(cidrnetmask(var.vpc_cidr)) && try(tonumber(split("/", var.vpc_cidr)[1]) >= 16 && tonumber(split("/", var.vpc_cidr)[1]) <= 22, false)
    error_message = "vpc_cidr must be an IPv4 network between /16 and /22, such as 10.20.0.0/16."
  }
}

variable "availability_zones" {
  description = "In how many zones the VPC that is made has subnets: 2 or 3."
  type        = number
  default     = 2

  validation {
    condition     = contains([2, 3], var.availability_zones)
    error_message = "availability_zones must be 2 or 3."
  }
}

variable "nat_gateway_per_zone" {
  description = "A NAT gateway in each zone of the VPC that is made, so that the loss of a zone cuts off no other. They are the dearest part of a small installation."
  type        = bool
  default     = false
}

# Load balancer

variable "certificate_arn" {
  description = "ACM certificate of the name under which the api is called."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:acm:[a-z0-9-]+:[0-9]{12}:certificate/.+$", var.certificate_arn))
    error_message = "certificate_arn must be the ARN of a certificate in ACM."
  }
}

variable "internal" {
  description = "Whether the load balancer is reached from inside the VPC only."
  type        = bool
  default     = false
}

variable "allowed_cidrs" {
  description = "Who may reach the load balancer."
  type        = list(string)
  default     = ["0.0.0.0/0"]

  validation {
    condition     = length(var.allowed_cidrs) > 0 && alltrue([for cidr in var.allowed_cidrs : can(cidrnetmask(cidr))])
    error_message = "allowed_cidrs must be IPv4 networks, such as 0.0.0.0/0 or 203.0.113.0/24."
  }
}

variable "idle_timeout" {
  description = "Seconds after which the load balancer closes a silent connection. The api pings live connections every 25 s."
  type        = number
  default     = 120

  validation {
    condition     = var.idle_timeout >= 60 && var.idle_timeout <= 4000
    error_message = "idle_timeout must be between 60 and 4000 s: below, pings that are a little late would cost live connections."
  }
}

variable "deregistration_delay" {
  description = "Seconds that a target which is leaving may go on with what it has. Open streams hold it for all of it."
  type        = number
  default     = 45

  validation {
    condition     = var.deregistration_delay >= 30 && var.deregistration_delay <= 60
    error_message = "deregistration_delay must be between 30 and 60 s: less cuts requests off, more only delays deployments."
  }
}

variable "access_logs_bucket" {
  description = "S3 bucket for the load balancer's access logs. null: none are kept."
  type        = string
  default     = null
}

variable "deletion_protection" {
  description = "Whether the load balancer is kept from being deleted, and Redis leaves a last snapshot."
  type        = bool
  default     = true
}

# Services

variable "api_keys_secret_arn" {
  description = "Secret of Secrets Manager with the value of SERI_API_KEYS: the hashes that \"seri key\" prints."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:.+$", var.api_keys_secret_arn))
    error_message = "api_keys_secret_arn must be the ARN of a secret in Secrets Manager."
  }
}

variable "api" {
  description = "The api: CPU units and MiB of a task, how many tasks, and further environment variables (SERI_…) and secrets (by ARN)."
  type = object({
    cpu         = optional(number, 512)
    memory      = optional(number, 1024)
    count       = optional(number, 2)
    environment = optional(map(string), {})
    secrets     = optional(map(string), {})
  })
  default = {}

  validation {
    condition     = contains(lookup(local.fargate_memory, tostring(var.api.cpu), []), var.api.memory)
    error_message = "api.cpu and api.memory are no pair that Fargate has, such as 512 and 1024."
  }
  validation {
    condition     = var.api.count >= 1
    error_message = "api.count must be at least 1, and 2 to survive the loss of a task."
  }
  validation {
    condition     = alltrue([for arn in values(var.api.secrets) : can(regex("^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:.+$", arn))])
    error_message = "api.secrets must be ARNs of secrets in Secrets Manager, which may be followed by :key:stage:version."
  }
}

variable "workers" {
  description = <<-EOT
    The services of workers, by name. Each serves its queues (name = weight) with `slots` tasks at once.

    `min` and `max` bound the number of its tasks; 0 is allowed. They follow `backlog_per_slot`: how many pending tasks
    may wait for each slot. `on_demand_base` tasks are always on Fargate; what is beyond them is shared between Fargate
    and Fargate Spot by weight. `protect_minutes` is for how long at a time a worker may be protected from scale-in and
    deployments, at most, while it runs tasks that 110 s are too short for; 0: never. `alarm_age` is after how many seconds a waiting task raises the alarm.
    `policy_json` is what its tasks may do in AWS; `redis_keys` are patterns of further keys that they may touch.
  EOT
  type = map(object({
    cpu              = optional(number, 1024)
    memory           = optional(number, 2048)
    slots            = optional(number, 10)
    queues           = optional(map(number), { default = 1 })
    min              = optional(number, 1)
    max              = optional(number, 4)
    backlog_per_slot = optional(number, 5)
    on_demand_base   = optional(number, 1)
    on_demand_weight = optional(number, 1)
    spot_weight      = optional(number, 0)
    protect_minutes  = optional(number, 120)
    alarm_age        = optional(number, 300)
    disk             = optional(number, 21)
    environment      = optional(map(string), {})
    secrets          = optional(map(string), {})
    policy_json      = optional(string)
    redis_keys       = optional(list(string), [])
  }))
  default = { default = {} }

  validation {
    condition     = alltrue([for name in keys(var.workers) : can(regex("^[a-z][a-z0-9-]{0,12}$", name))])
    error_message = "Names of workers must be 1 to 13 of a-z, 0-9 and -, beginning with a letter."
  }
  validation {
    condition     = alltrue([for w in values(var.workers) : contains(lookup(local.fargate_memory, tostring(w.cpu), []), w.memory)])
    error_message = "cpu and memory of every worker must be a pair that Fargate has, such as 1024 and 2048."
  }
  validation {
    condition     = alltrue([for w in values(var.workers) : w.min >= 0 && w.max >= max(w.min, 1)])
    error_message = "Every worker needs 0 ≤ min ≤ max, and max at least 1."
  }
  validation {
    condition     = alltrue([for w in values(var.workers) : w.slots >= 1 && w.slots <= 100000 && w.backlog_per_slot > 0])
    error_message = "Every worker needs slots between 1 and 100000, and backlog_per_slot above 0."
  }
  validation {
    condition     = alltrue([for w in values(var.workers) : w.on_demand_base >= 0 && w.on_demand_weight >= 0 && w.spot_weight >= 0 && w.on_demand_weight + w.spot_weight > 0])
    error_message = "on_demand_base and both weights of every worker must not be negative, and one weight must be above 0."
  }
  validation {
    condition = alltrue(flatten([
      for w in values(var.workers) : [length(w.queues) > 0 && length(w.queues) <= 9, [
        for queue, weight in w.queues : can(regex("^[^{},=*?\\[\\]\\\\\\s]+$", queue)) && weight >= 1 && floor(weight) == weight
      ]]
    ]))
    error_message = "Every worker serves 1 to 9 queues, with whole weights from 1 on, whose names have no blanks and none of {},=*?[]\\."
  }
  validation {
    condition     = alltrue([for w in values(var.workers) : w.protect_minutes >= 0 && w.protect_minutes <= 2880 && floor(w.protect_minutes) == w.protect_minutes])
    error_message = "protect_minutes of every worker must be a whole number between 0 and 2880, the most that ECS grants."
  }
  validation {
    condition     = alltrue([for w in values(var.workers) : w.disk >= 21 && w.disk <= 200])
    error_message = "disk is in GiB, between 21 and 200: the task's files, below /data."
  }
  validation {
    condition = alltrue(flatten([
      for w in values(var.workers) : [for arn in values(w.secrets) : can(regex("^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:.+$", arn))]
    ]))
    error_message = "secrets of every worker must be ARNs of secrets in Secrets Manager, which may be followed by :key:stage:version."
  }
}

variable "beat" {
  description = "The beat: its schedules as YAML (docs/schedules.md), and its size. Without schedules there is none. Two tasks: one leads, the other takes over within seconds."
  type = object({
    schedules   = optional(string)
    cpu         = optional(number, 256)
    memory      = optional(number, 512)
    count       = optional(number, 2)
    environment = optional(map(string), {})
  })
  default = {}

  validation {
    condition     = contains(lookup(local.fargate_memory, tostring(var.beat.cpu), []), var.beat.memory)
    error_message = "beat.cpu and beat.memory are no pair that Fargate has, such as 256 and 512."
  }
  validation {
    condition     = var.beat.schedules == null ? true : can(yamldecode(var.beat.schedules).schedules[*].id)
    error_message = "beat.schedules must be YAML with a list \"schedules\", each with an id; docs/schedules.md describes it."
  }
  validation {
    condition     = var.beat.schedules == null ? true : length(var.beat.schedules) <= 32768
    error_message = "beat.schedules must be at most 32 KiB: a task definition has 64. Put a longer file into the image."
  }
  validation {
    condition     = var.beat.count >= 1
    error_message = "beat.count must be at least 1, and 2 for a failover without a new task."
  }
}

variable "relay" {
  description = <<-EOT
    The relay: copies the events of all queues into NATS JetStream, RabbitMQ or Kafka (docs/events.md), which is there already.
    null: there is none, and gateways read events from Redis. Two tasks: one copies, the other takes over within seconds.

    `url_secret_arn` is the secret whose text is the broker's URL, as SERI_EVENTS takes it; `port` and `cidrs` are where the
    broker answers, for the security groups. With `read_by_api` the api reads events there, too, and no more from Redis.
  EOT
  type = object({
    url_secret_arn = string
    port           = number
    cidrs          = list(string)
    read_by_api    = optional(bool, false)
    cpu            = optional(number, 256)
    memory         = optional(number, 512)
    count          = optional(number, 2)
    environment    = optional(map(string), {})
  })
  default = null

  validation {
    condition     = var.relay == null ? true : can(regex("^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:.+$", var.relay.url_secret_arn))
    error_message = "relay.url_secret_arn must be the ARN of a secret in Secrets Manager: the URL may hold a password."
  }
  validation {
    condition     = var.relay == null ? true : var.relay.port >= 1 && var.relay.port <= 65535 && floor(var.relay.port) == var.relay.port
    error_message = "relay.port must be the port of the broker's URL, such as 4222 (NATS), 5671 (RabbitMQ) or 9092 (Kafka)."
  }
  validation {
    condition     = var.relay == null ? true : length(var.relay.cidrs) > 0 && alltrue([for cidr in var.relay.cidrs : can(cidrnetmask(cidr))])
    error_message = "relay.cidrs must be IPv4 networks in which the broker is, such as 10.20.64.0/18."
  }
  validation {
    condition     = var.relay == null ? true : contains(lookup(local.fargate_memory, tostring(var.relay.cpu), []), var.relay.memory)
    error_message = "relay.cpu and relay.memory are no pair that Fargate has, such as 256 and 512."
  }
  validation {
    condition     = var.relay == null ? true : var.relay.count >= 1
    error_message = "relay.count must be at least 1, and 2 for a failover without a new task."
  }
}

variable "stop_timeout" {
  description = "Seconds between SIGTERM and SIGKILL. Fargate grants at most 120, which is also the notice that Spot gives. Workers use all but 10 of them to let running tasks end."
  type        = number
  default     = 120

  validation {
    condition     = var.stop_timeout >= 30 && var.stop_timeout <= 120 && floor(var.stop_timeout) == var.stop_timeout
    error_message = "stop_timeout must be whole seconds between 30 and 120, the most that Fargate grants."
  }
}

variable "enable_execute_command" {
  description = "Whether ECS Exec may open a session in a task. Its agent needs a writable root file system and runs as root, so this makes the root file system writable."
  type        = bool
  default     = false
}

variable "container_insights" {
  description = "Container Insights of the cluster: disabled, enabled or enhanced. Nothing here needs them."
  type        = string
  default     = "disabled"

  validation {
    condition     = contains(["disabled", "enabled", "enhanced"], var.container_insights)
    error_message = "container_insights must be disabled, enabled or enhanced."
  }
}

# Redis

variable "redis" {
  description = <<-EOT
    The ElastiCache cluster: engine (valkey or redis) and version, type of node, how many shards, and replicas of each.
    `iam` has the services log in with their task roles: there are no passwords then. Without it each has a password in a
    secret, and `password_generation` rotates them when it is raised by one: see the README.
  EOT
  type = object({
    engine              = optional(string, "valkey")
    engine_version      = optional(string, "8.0")
    node_type           = optional(string, "cache.t4g.small")
    shards              = optional(number, 1)
    replicas            = optional(number, 1)
    snapshot_days       = optional(number, 7)
    snapshot_window     = optional(string, "03:00-04:00")
    maintenance_window  = optional(string, "sun:04:30-sun:05:30")
    iam                 = optional(bool, false)
    password_generation = optional(number, 1)
  })
  default = {}

  validation {
    condition     = contains(["valkey", "redis"], var.redis.engine) && can(regex("^[78]\\.[0-9]+$", var.redis.engine_version)) && !(var.redis.engine == "redis" && startswith(var.redis.engine_version, "8"))
    error_message = "redis.engine must be valkey with engine_version 7.2 or 8.x, or redis with 7.x: older ones lack what Seri's scripts need."
  }
  validation {
    condition     = can(regex("^cache\\.[a-z0-9]+\\.[a-z0-9]+$", var.redis.node_type))
    error_message = "redis.node_type must be a type of node such as cache.t4g.small."
  }
  validation {
    condition     = var.redis.shards >= 1 && var.redis.shards <= 90 && var.redis.replicas >= 1 && var.redis.replicas <= 5
    error_message = "redis.shards must be between 1 and 90, and redis.replicas between 1 and 5: without a replica the loss of a node loses every task on it."
  }
  validation {
    condition     = var.redis.snapshot_days >= 0 && var.redis.snapshot_days <= 35
    error_message = "redis.snapshot_days must be between 0 and 35."
  }
  validation {
    condition     = var.redis.password_generation >= 1 && floor(var.redis.password_generation) == var.redis.password_generation
    error_message = "redis.password_generation must be a whole number from 1 on."
  }
}

# Keeping and telling

variable "kms_key_arn" {
  description = "KMS key for logs, secrets and Redis. null: keys of AWS. Its policy must let CloudWatch Logs use it."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null ? true : can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a key in KMS."
  }
}

variable "log_retention_days" {
  description = "How long logs are kept."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one that CloudWatch has: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, …"
  }
}

variable "log_buffer_mb" {
  description = "MiB of log lines that a task keeps in memory while CloudWatch is slow; beyond it the oldest are dropped, and the task does not stand still."
  type        = number
  default     = 25

  validation {
    condition     = var.log_buffer_mb >= 1 && var.log_buffer_mb <= 100 && floor(var.log_buffer_mb) == var.log_buffer_mb
    error_message = "log_buffer_mb must be a whole number between 1 and 100; it is part of the task's memory."
  }
}

variable "alarm_topic_arns" {
  description = "SNS topics that alarms, and their ends, are told to."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.alarm_topic_arns : can(regex("^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:.+$", arn))])
    error_message = "alarm_topic_arns must be ARNs of SNS topics."
  }
}

variable "archived_growth" {
  description = "How many tasks of a queue may fail for good in 15 minutes before the alarm is raised."
  type        = number
  default     = 10

  validation {
    condition     = var.archived_growth >= 0
    error_message = "archived_growth must not be negative."
  }
}
