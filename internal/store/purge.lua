-- purge deletes succeeded tasks whose retention is over, and archived ones that are too old or too many.
--
-- KEYS[1]  completed zset
-- KEYS[2]  archived zset
-- KEYS[3]  events stream
-- ARGV[1]  what precedes an ID in a task's key
-- ARGV[2]  what precedes a label in the key of an owner's index
-- ARGV[3]  most tasks to delete, at most 1,000
-- ARGV[4]  age at which an archived task goes, seconds
-- ARGV[5]  number of archived tasks to keep
-- ARGV[6]  age at which an event goes, milliseconds
--
-- Returns  {succeeded tasks deleted, archived tasks deleted}
--
-- Guarantees bounded work per call; call again while either number is the limit. Runs when Redis is out of memory.

local completed, archived, stream = KEYS[1], KEYS[2], KEYS[3]
local prefix, owners, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])

local function delete(set, ids)
  for _, id in ipairs(ids) do
    local owner = call('HGET', prefix .. id, 'owner')
    if owner then
      call('ZREM', owners .. owner, id)
    end
    call('DEL', prefix .. id)
    call('ZREM', set, id)
  end
  return #ids
end

local succeeded = delete(completed, call('ZRANGEBYSCORE', completed, '-inf', now_s, 'LIMIT', 0, limit))

local dead = delete(archived, call('ZRANGEBYSCORE', archived, '-inf', now_s - tonumber(ARGV[4]), 'LIMIT', 0, limit))
local excess = math.min(call('ZCARD', archived) - tonumber(ARGV[5]), limit - dead)
if excess > 0 then
  dead = dead + delete(archived, call('ZRANGE', archived, 0, excess - 1))
end

call('XTRIM', stream, 'MINID', '~', digits(now_ms - tonumber(ARGV[6])))
call('EXPIRE', stream, 604800)
return {succeeded, dead}
