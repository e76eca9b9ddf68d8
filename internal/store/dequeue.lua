-- dequeue leases up to n tasks to a worker.
--
-- KEYS[1]  pending list
-- KEYS[2]  active list
-- KEYS[3]  lease zset
-- KEYS[4]  paused key
-- KEYS[5]  fence key
-- KEYS[6]  events stream
-- KEYS[7]  scheduled zset
-- KEYS[8]  due zset
-- KEYS[9]  archived zset
-- KEYS[10] wake list
-- ARGV[1]  what precedes an ID in a task's key
-- ARGV[2]  most entries of the events stream
-- ARGV[3]  n, at most 1,000
-- ARGV[4]  lease, seconds
-- ARGV[5]  nonce: random, the worker's for the leases of this call
-- ARGV[6]  worker, as the events name it: JSON string
-- ARGV[7]  JSON object with the types that the worker can run as keys; '' for every type
-- ARGV[8]  milliseconds until a task of another type is looked at again
--
-- Returns  {-1} if the queue is paused
--          {popped, ghosts, parked, then per lease: ID, message, token, owner or ''}
--
-- Guarantees that each token is greater than every one handed out before in the queue, also after a failover that lost
-- writes: the greater of the last one plus 1 and Redis' clock in µs. A popped task is leased, settled (revoked, expired),
-- set aside for a worker that knows its type, or was no task at all (an ID without a message); none is lost, whatever its
-- record holds. Runs when Redis is out of memory.

local pending, active, lease, paused, fence = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local stream, scheduled, due, archived = KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local prefix, maxlen, nonce, worker = ARGV[1], ARGV[2], ARGV[5], ARGV[6]

if call('EXISTS', paused) == 1 then
  return {-1}
end
local types = ARGV[7] ~= '' and cjson.decode(ARGV[7])
local token = math.max(number(call('GET', fence)), now_us - 1)
local ids = call('RPOP', pending, ARGV[3])
if not ids then
  return {0, 0, 0}
end

local expiry = string.format('%.6f', now_us / 1000000 + tonumber(ARGV[4]))
local replies = {#ids, 0, 0}
local leased, leases, n = {}, {}, 0
local by_worker = ',"worker":' .. worker .. '}'

local function settle_revoked(task, id, seq, head, reason)
  settle_mark(task, reason == 'revoked')
  release(task, id)
  stop_waiting(task)
  call('ZADD', archived, now_s, id)
  call('HSET', task, 'state', 'archived', 'reason', reason, 'finished', at, 'seq', seq)
  event(seq, '"kind":"revoked",' .. head .. ',"data":{"reason":"' .. reason .. '"}')
end

local function park(task, id, seq, head, reason)
  local when, before = now_ms + tonumber(ARGV[8]), first_due(due)
  call('ZADD', scheduled, digits(math.ceil(when / 1000)), id)
  call('ZADD', due, digits(when), id)
  ring(due, KEYS[10], before)
  stop_waiting(task)
  if reason == 'no_worker' then -- looked at again, not news
    call('HSET', task, 'state', 'scheduled')
  else
    call('HSET', task, 'state', 'scheduled', 'reason', 'no_worker', 'seq', seq)
    event(seq, '"kind":"scheduled",' .. head .. ',"data":{"due":' .. digits(when) .. ',"reason":"no_worker"}')
  end
  replies[3] = replies[3] + 1
end

local function grant(task, id, seq, head, record)
  token = token + 1
  local text = digits(token)
  if record[6] then
    call('HDEL', task, 'progress', 'reason')
  end
  call('HSET', task, 'state', 'active', 'fence', text, 'nonce', nonce, 'seq', seq, 'started', at)
  n = n + 1
  leased[n], leases[2 * n - 1], leases[2 * n] = id, expiry, id
  event(seq, '"kind":"started",' .. head .. ',"data":{"attempt":' .. after(record[8] or '0') .. by_worker)
  local r = 4 * n
  replies[r], replies[r + 1], replies[r + 2], replies[r + 3] = id, record[1], text, record[3] or ''
end

for _, id in ipairs(ids) do
  local task = prefix .. id
  local record = redis.pcall('HMGET', task, 'msg', 'seq', 'owner', 'expires', 'revoked', 'fence', 'reason', 'retried')
  local msg = record[1]
  if not msg then
    call('DEL', task)
    replies[2] = replies[2] + 1
  else
    record[6] = record[6] or record[7]
    local head, seq = about(id, msg, record[3]), after(record[2])
    if seq == '1' then -- enqueued by a stock producer, and perhaps tried by a stock server
      event('1', '"kind":"queued",' .. head)
      seq = '2'
      record[8] = retried_of(msg)
      if record[8] > 0 then
        call('HSET', task, 'retried', digits(record[8]))
      end
    end
    local expired = record[4] and number(record[4]) <= now_ms
    if expired and record[7] == 'expired' then -- whoever runs an expired task again means it
      call('HDEL', task, 'expires')
      expired = false
    end
    if record[5] then
      settle_revoked(task, id, seq, head, 'revoked')
    elseif expired then
      settle_revoked(task, id, seq, head, 'expired')
    elseif types and not types[type_of(msg)] then
      park(task, id, seq, head, record[7])
    else
      grant(task, id, seq, head, record)
    end
  end
end

if #leased > 0 then
  call('LPUSH', active, unpack(leased))
  call('ZADD', lease, unpack(leases))
  call('SET', fence, digits(token))
end
append_events(stream, maxlen)
return replies
