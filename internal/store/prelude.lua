-- prelude stands before every script: time, numbers, events, and the check of a lease.
--
-- KEYS        those of the script that follows
-- ARGV        those of the script that follows
--
-- Returns     nothing
--
-- Guarantees  that time is read once per script, from Redis; that no number loses digits on its way into a string
--             (tostring and .. print a 16-digit token as 1.7953302915282e+15).

local call = redis.call

local format = string.format

local encode = cjson.encode

local clock = call('TIME')

local now_us = clock[1] * 1000000 + clock[2]

local now_ms = math.floor(now_us / 1000)

local now_s = tonumber(clock[1])

-- micros and at are now as text, in Unix microseconds and milliseconds. Taking them from the text of the clock is cheaper
-- than formatting a number.
local micros = clock[1] .. string.sub('00000' .. clock[2], -6)

local at = string.sub(micros, 1, -4)

-- digits writes a whole number: all of its digits up to 2^53, which %d does in a third of the time of %.0f.
local function digits(n)
  return format('%d', n)
end

-- after returns the next sequence number as text; most are small, and formatting a number is dear.
local successors = {['0'] = '1', ['1'] = '2', ['2'] = '3', ['3'] = '4', ['4'] = '5', ['5'] = '6', ['6'] = '7', ['7'] = '8'}
local function after(seq)
  return successors[seq] or digits((tonumber(seq) or 0) + 1)
end

-- Redis refuses to spread more than about 8,000 values over one call.
local function each_chunk(values, step, write)
  for first = 1, #values, step do
    write(unpack(values, first, math.min(first + step - 1, #values)))
  end
end

-- events holds the pieces of the JSON of the events to append. Joining them once at the end is cheaper than making a
-- string of each.
local events, pieces = {}, 0
local opening = ',"at":' .. at .. ','

-- event notes one change: its number, its kind, what is its task, and its data; more, if given, are two further pieces.
local function event(seq, rest, more, still)
  events[pieces + 1], events[pieces + 2], events[pieces + 3], events[pieces + 4] = pieces == 0 and '[{"seq":' or '},{"seq":', seq, opening, rest
  pieces = pieces + 4
  if more then
    events[pieces + 1], events[pieces + 2] = more, still
    pieces = pieces + 2
  end
  if pieces > 2000 then -- the embedded store's Lua joins no more than some thousands at once
    events, pieces = {table.concat(events)}, 1
  end
end

-- append writes events, a JSON array, as one entry. A new stream gets its TTL here; purge and those who enqueue renew it.
-- Where maxlen is a command, the entry is published by it instead, with its number. A count begins at the clock, marked by
-- "!", so that no number comes twice though the count be lost.
local function append(stream, maxlen, entry)
  if maxlen == 'PUBLISH' or maxlen == 'SPUBLISH' then
    local base = string.sub(stream, 1, -7)
    local number = call('INCR', base .. 'published')
    if number == 1 then
      call('SET', base .. 'published', micros, 'EX', 604800)
      call(maxlen, base .. 'live', micros .. '!' .. entry)
    else
      call(maxlen, base .. 'live', string.format('%d', number) .. ':' .. entry)
    end
    return
  end
  if not call('XADD', stream, 'NOMKSTREAM', 'MAXLEN', '~', maxlen, '*', 'e', entry) then
    call('XADD', stream, '*', 'e', entry)
    call('EXPIRE', stream, 604800)
  end
end

-- append_events writes what was noted, all of it as one entry: a batch costs one append.
local function append_events(stream, maxlen)
  if pieces > 0 then
    events[pieces + 1] = '}]'
    append(stream, maxlen, table.concat(events))
  end
end

-- number reads a number that stands in a field: 0 if the field is absent, or what stands there is none.
local function number(field)
  return tonumber(field) or 0
end

-- type_of reads the task's type out of asynq's message: field 1, which protobuf encoders write first. Like all that
-- reads a message, it makes do with any bytes: an error in the middle of a script would undo nothing.
local function type_of(msg)
  local tag, n, more = string.byte(msg, 1, 3)
  if tag ~= 10 or not more then
    return ''
  end
  if n < 128 then
    return string.sub(msg, 3, 2 + n)
  end
  n = n - 128 + more * 128
  return string.sub(msg, 4, 3 + n)
end

-- retried_of reads the number of retries out of asynq's message: field 6, which only the fields 1 to 5 precede.
local function retried_of(msg)
  local i = 1
  while true do
    local tag, value, scale = string.byte(msg, i), 0, 1
    if not tag or tag > 48 then
      return 0
    end
    repeat
      i = i + 1
      local byte = string.byte(msg, i)
      if not byte then
        return 0
      end
      value, scale = value + byte % 128 * scale, scale * 128
    until byte < 128
    if tag == 48 then
      return value
    end
    i = i + 1 + (tag % 8 == 2 and value or 0)
  end
end

-- about says which task an event is about, as JSON fields.
local encoded_types = {}
local function about(id, msg, owner)
  local typ = type_of(msg)
  local encoded = encoded_types[typ]
  if not encoded then
    encoded = ',"type":' .. encode(typ)
    encoded_types[typ] = encoded
  end
  if owner then
    return '"task":' .. encode(id) .. encoded .. ',"owner":' .. encode(owner)
  end
  return '"task":' .. encode(id) .. encoded, typ
end

-- varint is protobuf's encoding of a whole number. A field that is appended to a message replaces the earlier one.
local function varint(n)
  local bytes = {}
  while n >= 128 do
    bytes[#bytes + 1] = string.char(n % 128 + 128)
    n = math.floor(n / 128)
  end
  bytes[#bytes + 1] = string.char(n)
  return table.concat(bytes)
end

-- holds compares a caller's token and nonce with the record (state, fence, nonce): equality, never "at least", so that
-- a number that was handed out twice by a failover does no harm either.
--
-- Returns 1 if the caller holds the lease, 2 if it has settled the lease itself before, 0 if another holds it or nobody.
local function holds(record, token, nonce)
  if record[2] ~= token or record[3] ~= nonce then
    return 0
  end
  if record[1] == 'active' then
    return 1
  end
  return 2
end

-- refusals is what scripts that end leases answer: for each task that was not changed its place in the call, 2 if the
-- caller had ended the lease before or 0 if it is lost, and the token on record, '0' if none.
local refusals = {}

local function refuse(i, status, record)
  local n = #refusals
  refusals[n + 1], refusals[n + 2], refusals[n + 3] = i, status, record[1] == 'active' and record[2] or '0'
end

-- date returns the UTC day of now as YYYY-MM-DD (Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days).
local function date()
  local z = math.floor(now_s / 86400) + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local day = doy - math.floor((153 * mp + 2) / 5) + 1
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02d', year, month, day)
end

-- count adds n to a total and to its count of the day, as asynq keeps them: 90 days, and 1 after the largest integer.
local function count(total, n)
  if n == 0 then
    return
  end
  local daily = total .. ':' .. date()
  if call('INCRBY', daily, n) == n then
    call('EXPIRE', daily, 7776000)
  end
  local reply = redis.pcall('INCRBY', total, n)
  if type(reply) == 'table' and reply.err then
    call('SET', total, 1)
  end
end

-- first_due returns the earliest due time, in Unix milliseconds; nil if there is none.
local function first_due(due)
  return call('ZRANGE', due, 0, 0, 'WITHSCORES')[2]
end

-- ring tells a forwarder that the earliest due time is another than before.
local function ring(due, wake, before)
  if first_due(due) ~= before and call('LLEN', wake) == 0 then
    call('LPUSH', wake, '1')
    call('EXPIRE', wake, 10)
  end
end

-- own labels a task with its owner, and puts it into the index of the owner's newest 1,000 tasks.
local function own(task, id, owner, index)
  call('HSET', task, 'owner', owner)
  call('ZADD', index, at, id)
  call('ZREMRANGEBYRANK', index, 0, -1001)
  call('EXPIRE', index, 604800)
end

-- stop_waiting takes pending_since away from a task that is not pending, so that the wait that asynq's readers see does
-- not include an earlier life, and keeps it as the time of the enqueue if it is the first. dequeue leaves that to others.
local function stop_waiting(task)
  local since = call('HGET', task, 'pending_since')
  if since then
    call('HSETNX', task, 'enqueued', string.sub(since, 1, -7))
    call('HDEL', task, 'pending_since')
  end
end

-- release frees the uniqueness lock of a task that will not run, if it is the task's. The record names it; should a
-- foreign hand have written a key of another slot there, it stays (pcall), and the script goes on.
local function release(task, id)
  local lock = call('HGET', task, 'unique_key')
  if lock and redis.pcall('GET', lock) == id then
    call('DEL', lock)
  end
end

-- settle_mark takes the mark of a revocation off a task that has ended. Whoever then runs the task again, with an
-- Inspector, means it.
local function settle_mark(task, marked)
  if marked then
    call('HDEL', task, 'revoked')
  end
end

-- withdraw archives a task as revoked that its caller has taken out of where it stood. record: msg, state, seq, owner, revoked.
local function withdraw(task, id, record, due, archived)
  call('ZREM', due, id)
  settle_mark(task, record[5])
  release(task, id)
  stop_waiting(task)
  local seq = after(record[3])
  call('ZADD', archived, now_s, id)
  call('HSET', task, 'state', 'archived', 'reason', 'revoked', 'finished', at, 'seq', seq)
  event(seq, '"kind":"revoked",' .. about(id, record[1] or '', record[4]) .. ',"data":{"reason":"revoked"}')
end

-- leads reports whether no beat with a higher token of a lock has been here, and notes the token if it is the highest.
local function leads(beat, lock, token)
  local floor = call('HGET', beat, 'token:' .. lock)
  if floor and tonumber(floor) > tonumber(token) then
    return false
  end
  if floor ~= token then
    call('HSET', beat, 'token:' .. lock, token)
  end
  return true
end

-- end_lease takes a task out of what is running.
local function end_lease(active, lease, id)
  call('ZREM', lease, id)
  call('LREM', active, -1, id)
end

-- leave takes ids out of the list of what is running. Those that were leased first mostly end first, and stand together at
-- its right end, so that one call takes them all. Those that stand there beside a few long ones are looked for from there, too.
-- The others were leased after many that stay: they stand behind what was leased since, at the left end, which is cheaper to
-- replace than to search once for each of many.
local function leave(active, ids)
  local n = #ids
  if n == 0 then
    return
  end
  local going, left = {}, n
  for i = 1, n do
    going[ids[i]] = true
  end
  local last, matched = call('LRANGE', active, -n - 16, -1), 0
  for i = #last, 1, -1 do
    if not going[last[i]] then
      break
    end
    going[last[i]] = nil
    matched = matched + 1
  end
  if matched > 0 then
    call('RPOP', active, matched)
    left = left - matched
  end
  for i = #last - matched, 1, -1 do
    local id = last[i]
    if going[id] then
      going[id] = nil
      left = left - 1
      call('LREM', active, -1, id)
    end
  end
  if left >= 16 then
    local first, staying, deepest = call('LRANGE', active, 0, 4 * n + 15), {}, 0
    for i = 1, #first do
      if going[first[i]] then
        going[first[i]] = nil
        first[i] = false
        deepest = i
      end
    end
    for i = deepest, 1, -1 do
      staying[#staying + 1] = first[i] or nil
    end
    if deepest > 0 then
      call('LTRIM', active, deepest, -1)
    end
    each_chunk(staying, 5000, function(...) call('LPUSH', active, ...) end)
  end
  for i = 1, n do
    if going[ids[i]] then
      call('LREM', active, 1, ids[i])
    end
  end
end
