-- purge deletes succeeded tasks whose retention is over, and archived ones that are too old or too many.
--
-- KEYS[1]  completed zset
-- KEYS[2]  archived zset
-- KEYS[3]  events stream
-- KEYS[4]  total of archived tasks deleted
-- ARGV[1]  what precedes an ID in a task's key
-- ARGV[2]  what precedes a label in the key of an owner's index
-- ARGV[3]  most tasks to delete, at most 1,000
-- ARGV[4]  age at which an archived task goes, seconds
-- ARGV[5]  number of archived tasks to keep
-- ARGV[6]  age at which an event goes, milliseconds
-- ARGV[7]  most entries of the events stream
--
-- Returns  {succeeded tasks deleted, archived tasks deleted}
--
-- Guarantees bounded work per call; call again while either number is the limit; and that no archived task goes without an
-- event: asynq lets them vanish. Runs when Redis is out of memory.

local completed, archived, stream = KEYS[1], KEYS[2], KEYS[3]
local prefix, owners, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])

-- delete deletes tasks, and tells of it if there is a reason to give.
local function delete(set, ids, reason)
  for _, id in ipairs(ids) do
    local record = call('HMGET', prefix .. id, 'owner', 'seq', 'msg', 'reason')
    if record[1] then
      call('ZREM', owners .. record[1], id)
    end
    if reason then
      local was = (record[4] == 'revoked' or record[4] == 'expired') and 'revoked' or 'failed'
      event(after(record[2]), '"kind":"trimmed",' .. about(id, record[3] or '', record[1]),
        ',"data":{"reason":"' .. reason .. '","state":"' .. was, '"}')
    end
    call('DEL', prefix .. id)
    call('ZREM', set, id)
  end
  return #ids
end

local succeeded = delete(completed, call('ZRANGEBYSCORE', completed, '-inf', now_s, 'LIMIT', 0, limit))

local dead = delete(archived, call('ZRANGEBYSCORE', archived, '-inf', now_s - tonumber(ARGV[4]), 'LIMIT', 0, limit), 'too_old')
local excess = math.min(call('ZCARD', archived) - tonumber(ARGV[5]), limit - dead)
if excess > 0 then
  dead = dead + delete(archived, call('ZRANGE', archived, 0, excess - 1), 'too_many')
end

if dead > 0 then
  call('INCRBY', KEYS[4], dead)
end
append_events(stream, ARGV[7])
call('XTRIM', stream, 'MINID', '~', digits(now_ms - tonumber(ARGV[6])))
call('EXPIRE', stream, 604800)
return {succeeded, dead}
