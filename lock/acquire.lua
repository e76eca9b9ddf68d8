-- acquire takes a lock that is free and whose turn it is for the caller; otherwise it puts the caller in the queue.
--
-- KEYS     see prelude
-- ARGV[1]  nonce: random, the caller's, the same in each call until it has the lock
-- ARGV[2]  lease, µs
-- ARGV[3]  for how long the caller counts as present if it has to wait, µs; 0: it does not wait
--
-- Returns  {1, token} if the caller has the lock
--          {0, µs after which to look again if no bell rings} if not; with ARGV[3] 0, until the holder's lease ends
--          {-1, '0'} if the nonce was given up before; nothing is written
--
-- Guarantees a token greater than every one handed out before for the lock: the greater of the last one plus 1 and
-- Redis' clock in µs. Repeated by who has the lock, it answers the same and begins the lease anew. The lease's truth is
-- the time in the hash, not the key's expiry, which only cleans up. Nobody overtakes who waits and is present.

local nonce, lease, stay = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local holder, token, held_until, held_for, released = unpack(call('HMGET', lock, 'nonce', 'token', 'until', 'lease', 'released'))
if released and string.find(released, nonce, 1, true) then
  return {-1, '0'}
end

-- The first write removes, or changes no memory, so that a full Redis lets the rest of the script through.
local function hold()
  call('DEL', bells .. nonce)
  call('HSET', lock, 'nonce', nonce, 'token', token, 'until', digits(now + lease), 'lease', ARGV[2])
  call('PEXPIRE', lock, digits(lease / 1000 + 60000))
end

if holder == nonce then
  hold()
  return {1, token}
end

local ends = tonumber(held_until or '0')
local latest = now + tonumber(held_for or '0')
if ends > latest then -- Redis' clock has gone back; whoever holds the lock and lives will renew it
  ends = latest
  call('HSET', lock, 'until', digits(ends))
end
local next, next_present = first()
if ends <= now and (not next or next == nonce) then
  token = digits(math.max(tonumber(call('GET', fence) or '0') + 1, now))
  call('ZREM', queue, nonce)
  call('ZREM', presence, nonce)
  hold()
  call('SET', fence, token)
  ring_first() -- it has to know when this lease ends: nobody rings for a holder that has died
  return {1, token}
end
if stay == 0 then
  return {0, digits(math.max(ends, next_present) - now)}
end

call('DEL', bells .. nonce) -- heard
if not call('ZSCORE', queue, nonce) then
  local last = call('ZRANGE', queue, -1, -1, 'WITHSCORES')[2]
  call('ZADD', queue, digits(math.max(tonumber(last or '0') + 1, now)), nonce)
end
call('ZADD', presence, digits(now + stay), nonce)
call('PEXPIRE', queue, digits(stay / 1000 + 60000))
call('PEXPIRE', presence, digits(stay / 1000 + 60000))
if ends <= now then
  ring_first() -- should it have missed the bell
  return {0, digits(next_present - now)}
end
if not next or next == nonce then
  return {0, digits(ends - now)}
end
return {0, digits(stay)}
