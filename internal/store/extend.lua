-- extend moves leases forward, if the caller still holds them, and with them the tasks' uniqueness locks.
--
-- KEYS[1]  lease zset
-- KEYS[2…] the task hashes
-- ARGV[1]  what precedes an ID in a task's key
-- ARGV[2]  lease, seconds
-- ARGV[3…] per task: token, nonce
--
-- Returns  for each task that was not simply extended three values: its place in the call; 3 if it was extended but is
--          revoked, 0 if the lease is lost; and the token on record, '0' if none
--
-- Guarantees that a caller that no longer holds the lease changes nothing, and that a task's uniqueness lock lasts as long
-- as the lease, unless another task has it. Runs when Redis is out of memory.

local lease, prefix = KEYS[1], #ARGV[1]
local expiry = string.format('%.6f', now_us / 1000000 + tonumber(ARGV[2]))
local length = string.format('%d', math.ceil(ARGV[2] * 1000))
local locks = string.sub(ARGV[1], 1, -3) .. 'unique:'
local leases = {}

-- renew keeps the lock of a running task, or takes it again if its time was over before. Should a foreign hand have written
-- another kind of key into the record, it stays as it is.
local function renew(lock, id)
  if string.sub(lock, 1, #locks) ~= locks then
    return
  end
  local holder = redis.pcall('GET', lock)
  if holder == id then
    local left = call('PTTL', lock)
    if left >= 0 and left < tonumber(length) then
      call('PEXPIRE', lock, length)
    end
  elseif not holder then
    call('SET', lock, id, 'PX', length)
  end
end

for i = 2, #KEYS do
  local record = call('HMGET', KEYS[i], 'state', 'fence', 'nonce', 'revoked', 'unique_key')
  local held = holds(record, ARGV[2 * i - 1], ARGV[2 * i]) == 1
  if held then
    local id = string.sub(KEYS[i], prefix + 1)
    leases[#leases + 1] = expiry
    leases[#leases + 1] = id
    if record[5] then
      renew(record[5], id)
    end
  end
  if not held or record[4] then
    refuse(i - 1, held and 3 or 0, record)
  end
end
each_chunk(leases, 1000, function(...) call('ZADD', lease, ...) end)
return refusals
