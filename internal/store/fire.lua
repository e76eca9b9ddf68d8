-- fire enqueues the tasks of ticks and moves their schedules on, or enqueues the tasks of ticks that waited for their turn.
--
-- KEYS[1]  what beats know of the queue
-- KEYS[2]  index of schedules by next tick
-- KEYS[3]  events stream
-- KEYS[4]  pending list
-- KEYS[5]  scheduled zset
-- KEYS[6]  retry zset
-- KEYS[7]  due zset
-- KEYS[8]  active list
-- KEYS[9]  lease zset
-- KEYS[10] archived zset
-- KEYS[11] schedules that were changed at run time
-- KEYS[12…] per tick the schedule hash; then per tick its history; then the owners' tasks that the tasks' terms refer to by
--          number
-- ARGV[1]  what precedes an ID in a task's key
-- ARGV[2]  most entries of the events stream
-- ARGV[3]  the lock of the caller's beats
-- ARGV[4]  fencing token of that lock; '' for ticks that somebody has asked for
-- ARGV[5]  pub/sub channel on which workers listen for IDs
-- ARGV[6]  number of ticks
-- ARGV[7…] per tick: the schedule's ID and revision; the tick that the caller takes for the next one, '' for a tick that
--          waited, '-' for one that somebody has asked for, whatever the next one is; the tick, Unix seconds, '' to move on
--          without a task; when its task may start, Unix ms; the tick to move on to, '' for none; JSON of the ticks that were
--          missed before it, or ''; asynq's message; the event's JSON fields about the task; JSON of the task's terms
--          {expires: Unix ms, owner: label, owned: index of KEYS}, or ''; the schedule's policy, '' for the usual one,
--          otherwise what to do about overlap, how many tasks it may have, how many may fail in a row ('0': any number)
--
-- Returns  {per tick what became of it, details}, or -1 if a newer holder of the lock has been here: nothing is written then
--          0 the schedule's next tick or revision is another; 1 enqueued; 2 the tick's task exists already; 3 moved on
--          without a task; 4 left out, an earlier task has not ended; 5 waits for an earlier task; 6 the schedule is paused;
--          7 enqueued, as the last one; 8 not yet due; 9 the schedule has had all its tasks, and has ended
--          details: for some ticks three values: place in the call; ticks that wait; ticks whose tasks have not ended
--
-- A tick that waits and finds that it still has to, writes nothing: it asks often. A tick that somebody has asked for is
-- fired although the schedule is paused or has ended; it does not count as one of its runs, and does not move it on. If it
-- has to wait it is marked by an a, and remains what it is: in a pause it does not wait for those that the pause holds up.
--
-- Guarantees one task per tick with any number of callers: the tick is compared and set in the same step as the task is
-- stored, and the task's ID is a second proof. Nothing starts early by Redis' clock. Refused as a whole when Redis is out
-- of memory.

local beat, index, stream, pending, scheduled, retry, due, active, lease, archived, edited = unpack(KEYS, 1, 11)
local prefix, maxlen, lock, token, cancel, n = unpack(ARGV, 1, 6)
n = tonumber(n)

if token ~= '' and not leads(beat, lock, token) then
  return -1
end

local since = micros .. '000'
local startable, scores, replies, details = {}, {}, {}, {}

local function list(text)
  local ticks = {}
  for tick in string.gmatch(text or '', '%d+') do
    ticks[#ticks + 1] = tick
  end
  return ticks
end

-- waiters returns the ticks of a buffer, and which of them somebody has asked for. Most are empty; unless others are to be
-- added, one table is enough for those.
local none = {}
local function waiters(buffer, grows)
  if buffer == '' and not grows then
    return none, none
  end
  local waiting, wanted = {}, {}
  if buffer ~= '' then
    for mark, tick in string.gmatch(buffer, '(a?)(%d+)') do
      waiting[#waiting + 1], wanted[tick] = tick, mark == 'a'
    end
  end
  return waiting, wanted
end

-- joined is what waiters reads.
local function joined(waiting, wanted)
  local texts = {}
  for i, tick in ipairs(waiting) do
    texts[i] = (wanted[tick] and 'a' or '') .. tick
  end
  return table.concat(texts, ',')
end

-- turn returns the place in the buffer of the tick whose turn it is: the first one; in a pause, the first that somebody has
-- asked for.
local function turn(waiting, wanted, paused)
  if not paused then
    return 1
  end
  for i, tick in ipairs(waiting) do
    if wanted[tick] then
      return i
    end
  end
end

-- taken tells whether the task of a tick exists. One look for all of them mostly says that none does: each call is dear.
local made, some = {}, false
local function taken(task)
  return made[task] or some and call('EXISTS', task) == 1
end

-- push makes tasks startable: one call for all, as each is dear.
local function push()
  each_chunk(startable, 5000, function(...) call('LPUSH', pending, ...) end)
  startable = {}
end

-- outcomes looks at the tasks of earlier ticks. It returns the ticks of those that have not ended, and how many have failed
-- in a row.
local function outcomes(id, open, fails)
  local live = {}
  for _, tick in ipairs(list(open)) do
    local record = call('HMGET', prefix .. 'sched:' .. id .. ':' .. tick, 'state', 'reason')
    local state, reason = record[1], record[2]
    if not state or state == 'completed' then
      fails = 0 -- a task that is gone has succeeded and is not kept, or somebody has deleted it
    elseif state ~= 'archived' then
      live[#live + 1] = tick
    elseif reason ~= 'revoked' and reason ~= 'expired' then
      fails = fails + 1
    end
  end
  return live, fails
end

-- terminate ends a task as revoked, whoever runs it: without a lease its worker cannot write any more.
local function terminate(id)
  local task = prefix .. id
  local record = call('HMGET', task, 'msg', 'state', 'seq', 'owner', 'revoked')
  local state = record[2]
  if state == 'active' then
    end_lease(active, lease, id)
    call('HDEL', task, 'nonce') -- otherwise its worker would be taken for the one that has ended the lease
    call('PUBLISH', cancel, id)
  elseif state == 'pending' then
    call('LREM', pending, 1, id)
  elseif state == 'scheduled' then
    call('ZREM', scheduled, id)
  else
    call('ZREM', retry, id)
  end
  withdraw(task, id, record, due, archived)
end

-- keep notes what became of a tick, in the schedule's history of 50 to 60 entries: one call a tick, as each is dear.
local function keep(history, entry)
  if call('LPUSH', history, entry) > 60 then
    call('LTRIM', history, 0, 49)
  end
end

-- start stores the task of a tick; false if it exists.
local lateness, late -- in milliseconds, and as text: most ticks of a call are equally late, and formatting a number is dear
local function start(id, task_id, history, how, a)
  local task, tick = prefix .. task_id, ARGV[a + 3]
  if taken(task) then
    return false
  end
  made[task] = true
  if ARGV[a + 9] ~= '' then
    local terms = cjson.decode(ARGV[a + 9])
    if terms.expires then
      call('HSET', task, 'expires', digits(terms.expires))
    end
    if terms.owner then
      own(task, task_id, terms.owner, KEYS[terms.owned])
    end
  end
  call('HSET', task, 'msg', ARGV[a + 7], 'state', 'pending', 'pending_since', since, 'seq', '1')
  startable[#startable + 1] = task_id
  local ms = now_ms - ARGV[a + 4]
  if ms ~= lateness then
    lateness, late = ms, digits(ms)
  end
  keep(history, how .. tick .. ' ' .. late)
  event('1', '"kind":"queued",', ARGV[a + 8], '')
  event('0', '"kind":"schedule.fired","schedule":"', id, '","data":{"task_id":"' .. task_id .. '","tick":' .. tick .. ',"late":' .. late .. '}')
  return true
end

local function miss(schedule, history, id, data)
  local missed = cjson.decode(data)
  call('HINCRBY', schedule, 'missed', missed.count)
  keep(history, missed.reason .. ' ' .. digits(missed.first) .. ' ' .. digits(missed.last) .. ' ' .. digits(missed.count))
  event('0', '"kind":"schedule.missed","schedule":"' .. id .. '","data":' .. data)
end

local function leave_out(schedule, history, id, tick)
  miss(schedule, history, id, '{"count":1,"first":' .. tick .. ',"last":' .. tick .. ',"reason":"overlap"}')
end

-- only_wanted leaves out the ticks that wait and that nobody has asked for, and returns the others: their schedule has ended.
local function only_wanted(schedule, history, id, waiting, wanted)
  local rest = {}
  for _, tick in ipairs(waiting) do
    if wanted[tick] then
      rest[#rest + 1] = tick
    else
      leave_out(schedule, history, id, tick)
    end
  end
  return rest
end

-- set notes the new value of a field, if it is another than the old one.
local function set(changes, field, old, value)
  if value ~= old then
    changes[#changes + 1], changes[#changes + 2] = field, value
  end
end

-- detail notes, of the tick at a place in the call, which ticks of its schedule wait and whose tasks have not ended.
local function detail(i, waiting, running)
  local k = #details
  details[k + 1], details[k + 2], details[k + 3] = i, waiting, running
end

-- serve decides about one tick. i is its place in the call.
local function serve(i, schedule, history, a)
  local id, expected, tick, following, policy = ARGV[a], ARGV[a + 2], ARGV[a + 3], ARGV[a + 5], ARGV[a + 10]
  local overlap, limit, most = 'allow', 0, 0
  if policy ~= '' then
    overlap, limit, most = string.match(policy, '^(%S+) (%d+) (%d+)$')
    limit, most = tonumber(limit), tonumber(most)
  end
  local watched = overlap ~= 'allow' or most > 0
  local record
  if watched then
    record = call('HMGET', schedule, 'rev', 'next', 'paused', 'runs', 'buffer', 'open', 'fails')
  else
    record = call('HMGET', schedule, 'rev', 'next', 'paused', 'runs', 'buffer')
  end
  local paused, runs, buffer = record[3], number(record[4]), record[5] or ''
  local waited, fresh = expected == '', expected == '-'
  local waiting, wanted = waiters(buffer, watched or fresh)
  local place = waited and turn(waiting, wanted, paused)
  local asked = fresh or waited and wanted[tick]
  if record[1] ~= ARGV[a + 1] or not (waited or fresh) and record[2] ~= expected or waited and waiting[place or 1] ~= tick then
    return 0
  end
  if paused and not asked then
    if waited then
      detail(i, buffer, '')
    end
    return 6
  end
  if tick ~= '' and now_ms < tonumber(ARGV[a + 4]) then
    return 8
  end

  if fresh then
    if taken(prefix .. 'sched:' .. id .. ':' .. tick) then
      return 2
    end
    for _, other in ipairs(waiting) do
      if other == tick then
        return 5
      end
    end
  elseif not asked and limit > 0 and runs >= limit then -- as its definition is by now: without an edit it would have no next tick
    buffer = joined(only_wanted(schedule, history, id, waiting, wanted), wanted)
    call('HSET', schedule, 'next', '', 'buffer', buffer)
    scores[#scores + 1], scores[#scores + 2] = '+inf', id
    detail(i, buffer, '')
    return 9
  end

  if ARGV[a + 6] ~= '' then
    miss(schedule, history, id, ARGV[a + 6])
  end
  if tick == '' then
    call('HSET', schedule, 'next', following)
    scores[#scores + 1], scores[#scores + 2] = following == '' and '+inf' or following, id
    return 3
  end

  if not (watched or waited or asked) and limit == 0 then -- as most are: nothing but this one matters
    local task_id = 'sched:' .. id .. ':' .. tick
    local status = start(id, task_id, history, 'fired ', a) and 1 or 2
    call('HSET', schedule, 'last', tick, 'task', task_id, 'runs', digits(runs + 1), 'next', following)
    scores[#scores + 1], scores[#scores + 2] = following == '' and '+inf' or following, id
    return status
  end

  local open, fails = {}, 0
  if watched then
    open, fails = outcomes(id, record[6], number(record[7]))
    if most > 0 and fails >= most and not asked then
      local note = digits(fails) .. ' tasks in a row have failed'
      call('HSET', schedule, 'paused', note, 'paused_at', at, 'auto', '1', 'fails', fails, 'open', table.concat(open, ','))
      scores[#scores + 1], scores[#scores + 2] = '+inf', id
      event('0', '"kind":"schedule.paused","schedule":"' .. id .. '","data":{"note":"' .. note .. '"}')
      if waited then
        detail(i, buffer, '')
      end
      return 6
    end
  end

  local status
  local changes = {}
  local behind = not waited and buffer ~= '' -- others that wait
  if behind and paused then -- and asked: those that the pause holds up do not count
    behind = turn(waiting, wanted, paused) ~= nil
  end
  if overlap ~= 'allow' and overlap ~= 'terminate_other' and (#open > 0 or behind) then
    if waited then
      status = 5
    elseif overlap == 'skip' or overlap == 'buffer_one' and #waiting > 0 or #waiting >= 100 then
      leave_out(schedule, history, id, tick)
      status = 4
    else
      if overlap == 'cancel_other' then
        for _, replaced in ipairs(waiting) do
          leave_out(schedule, history, id, replaced)
        end
        waiting = {}
      end
      waiting[#waiting + 1], wanted[tick] = tick, fresh
      buffer = joined(waiting, wanted)
      status = 5
      if asked then -- its beat has to learn of it
        call('ZADD', edited, call('HINCRBY', beat, 'edits', 1), id)
        call('ZREMRANGEBYRANK', edited, 0, -1001)
      end
    end
    detail(i, buffer, table.concat(open, ','))
  else
    if overlap == 'terminate_other' and #open > 0 then
      push()
      for _, other in ipairs(open) do
        terminate('sched:' .. id .. ':' .. other)
      end
      open = {}
    end
    local task_id = 'sched:' .. id .. ':' .. tick
    status = start(id, task_id, history, asked and 'asked ' or 'fired ', a) and 1 or 2
    if waited then
      table.remove(waiting, place)
      buffer = joined(waiting, wanted)
    end
    if watched then
      open[#open + 1] = tick
      if #open > 100 then
        table.remove(open, 1)
      end
    end
    if not asked then
      runs = runs + 1
      changes = {'last', tick, 'task', task_id, 'runs', digits(runs)}
    elseif number(call('HGET', schedule, 'last')) < tonumber(tick) then
      changes = {'last', tick, 'task', task_id}
    end
    if limit > 0 and runs >= limit and not asked then
      buffer = joined(only_wanted(schedule, history, id, waiting, wanted), wanted)
      status, following = 7, ''
    end
    if waited or status == 7 then
      detail(i, buffer, '')
    end
  end
  if watched then
    set(changes, 'open', record[6] or '', table.concat(open, ','))
    set(changes, 'fails', record[7] or '0', digits(fails))
  end
  set(changes, 'buffer', record[5] or '', buffer)
  if not (waited or asked) or status == 7 then
    set(changes, 'next', record[2], following)
    scores[#scores + 1], scores[#scores + 2] = following == '' and '+inf' or following, id
  end
  if #changes > 0 then
    call('HSET', schedule, unpack(changes)) -- one call for all, as each is dear
  end
  return status
end

local tasks = {}
for a = 7, 7 + 11 * (n - 1), 11 do
  if ARGV[a + 3] ~= '' then
    tasks[#tasks + 1] = prefix .. 'sched:' .. ARGV[a] .. ':' .. ARGV[a + 3]
  end
end
some = #tasks > 0 and call('EXISTS', unpack(tasks)) > 0

for i = 1, n do
  replies[i] = serve(i, KEYS[11 + i], KEYS[11 + n + i], 11 * (i - 1) + 7)
end
each_chunk(scores, 5000, function(...) call('ZADD', index, ...) end)
push()
append_events(stream, maxlen)
return {replies, details}
