-- prelude stands before the scripts of a lock: its keys, Redis' clock, and the queue of those who wait.
--
-- KEYS[1]  lock hash: nonce, token, until (Unix µs) and lease (µs) of the holder; released: nonces given up lately
-- KEYS[2]  fence key
-- KEYS[3]  queue zset: the nonces of those who wait, by arrival, Unix µs
-- KEYS[4]  presence zset: the same nonces by until when each counts as present, Unix µs
-- KEYS[5]  what precedes a nonce in the key of its bell, a list of at most one element
-- ARGV     those of the script that follows
--
-- Returns     nothing
--
-- Guarantees  that time is read once per script, from Redis; that no number loses digits on its way into a string.

local call = redis.call
local lock, fence, queue, presence, bells = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]

local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]

local function digits(n)
  return string.format('%.0f', n)
end

-- first returns whose turn is next, and until when it counts as present. Those before it that are gone are dropped, as
-- is who is said to be present for longer than anybody is: Redis' clock has gone back.
local function first()
  while true do
    local waiter = call('ZRANGE', queue, 0, 0)[1]
    if not waiter then
      return nil, now
    end
    local present = tonumber(call('ZSCORE', presence, waiter) or '0')
    if present > now and present < now + 60000000 then
      return waiter, present
    end
    call('ZREM', queue, waiter)
    call('ZREM', presence, waiter)
  end
end

-- ring_first makes the first one look. A bell that nobody hears goes away by itself.
local function ring_first()
  local waiter = first()
  if waiter and call('EXISTS', bells .. waiter) == 0 then
    call('RPUSH', bells .. waiter, '1')
    call('PEXPIRE', bells .. waiter, 10000)
  end
end

-- remember notes that a nonce was given up: a release that is repeated answers the same, and a call to acquire that was
-- under way for long does not take the lock for nobody. The newest 32 are kept, for a minute at least.
local function remember(nonce, released)
  call('HSET', lock, 'released', string.sub(nonce .. ' ' .. (released or ''), 1, 32 * (#nonce + 1)))
  if call('PTTL', lock) < 60000 then
    call('PEXPIRE', lock, 60000)
  end
end
