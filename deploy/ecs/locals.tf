data "aws_region" "current" {}
data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

locals {
  region  = data.aws_region.current.id
  account = data.aws_caller_identity.current.account_id
  tags    = merge({ Application = "seri", Installation = var.name }, var.tags)

  # What Fargate has: MiB by CPU units.
  fargate_memory = {
    "256"   = [512, 1024, 2048]
    "512"   = range(1024, 4097, 1024)
    "1024"  = range(2048, 8193, 1024)
    "2048"  = range(4096, 16385, 1024)
    "4096"  = range(8192, 30721, 1024)
    "8192"  = range(16384, 61441, 4096)
    "16384" = range(32768, 122881, 8192)
  }

  api_port = 8080

  # Queues that any worker serves, and that a schedule enqueues to.
  queues      = toset(flatten([for w in values(var.workers) : keys(w.queues)]))
  beats       = var.beat.schedules == null ? 0 : var.beat.count
  beat_queues = var.beat.schedules == null ? [] : distinct([for s in yamldecode(var.beat.schedules).schedules : try(s.queue, "default")])

  # Where events are relayed to, with the password that may be in it.
  broker_url = var.relay == null ? {} : { SERI_EVENTS = var.relay.url_secret_arn }

  # The services: what differs between them. Everything else is in services.tf, once.
  services = merge(
    {
      api = {
        role        = "api"
        program     = "api"
        image       = var.images.api
        cpu         = var.api.cpu
        memory      = var.api.memory
        count       = var.api.count
        queues      = []
        redis_keys  = []
        environment = var.api.environment
        secrets     = merge({ SERI_API_KEYS = var.api_keys_secret_arn }, try(var.relay.read_by_api, false) ? local.broker_url : {}, var.api.secrets)
        disk        = null
        policy_json = null
      }
    },
    {
      for name, w in var.workers : "worker-${name}" => {
        role       = "worker"
        program    = "worker"
        image      = var.images.worker
        cpu        = w.cpu
        memory     = w.memory
        count      = w.min
        queues     = keys(w.queues)
        redis_keys = w.redis_keys
        environment = merge({
          SERI_QUEUES      = join(",", [for queue, weight in w.queues : "${queue}=${weight}"])
          SERI_SLOTS       = tostring(w.slots)
          SERI_GRACE       = "${var.stop_timeout - 10}s"
          SERI_PROTECT_FOR = "${w.protect_minutes}m"
        }, w.environment)
        secrets     = w.secrets
        disk        = w.disk
        policy_json = w.policy_json
      }
    },
    local.beats == 0 ? {} : {
      beat = {
        role        = "beat"
        program     = "beat"
        image       = var.images.beat
        cpu         = var.beat.cpu
        memory      = var.beat.memory
        count       = local.beats
        queues      = local.beat_queues
        redis_keys  = []
        environment = merge({ SERI_SCHEDULES_TEXT = var.beat.schedules }, var.beat.environment)
        secrets     = {}
        disk        = null
        policy_json = null
      }
    },
    var.relay == null ? {} : {
      relay = {
        role        = "relay"
        program     = "api"
        image       = var.images.api
        cpu         = var.relay.cpu
        memory      = var.relay.memory
        count       = var.relay.count
        queues      = []
        redis_keys  = []
        environment = merge({ SERI_ROLE = "relay" }, var.relay.environment)
        secrets     = local.broker_url
        disk        = null
        policy_json = null
      }
    },
  )
}
