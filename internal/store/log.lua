-- log appends to the logs of tasks what their attempts have written.
--
-- KEYS[1…] per task: its hash, its log
-- ARGV[1]  most bytes of a log
-- ARGV[2…] per task: token, seconds for which the log is kept, lines, each with its end
--
-- Returns  for each task whose log was not changed three values: its place in the call; 0; and the token on record, '0' if none
--
-- Guarantees that the log of a task that is gone stays as it is, and that none becomes too long: the oldest lines go, and the
-- first then says so. Who has had a lease of the task may write, also when another has it: the last lines of an attempt come
-- after its end, and what a zombie did has happened. Lines say under which token. Refused when Redis is out of memory.

local most = tonumber(ARGV[1])
for i = 1, #KEYS / 2 do
  local task, log, arg = KEYS[2 * i - 1], KEYS[2 * i], 3 * i - 1
  local record = call('HMGET', task, 'state', 'fence')
  if number(record[2]) < number(ARGV[arg]) then
    refuse(i, 0, record)
  else
    local size = redis.pcall('APPEND', log, ARGV[arg + 2])
    if type(size) == 'table' then -- a foreign hand has put something else there
      call('SET', log, ARGV[arg + 2])
    elseif size > most then -- cut to three quarters, or every line of a long log would cost a cut
      local rest = call('GETRANGE', log, size - math.floor(most * 3 / 4), -1)
      local from = string.find(rest, '\n', 1, true)
      call('SET', log, '{"cut":true}\n' .. string.sub(rest, (from or #rest) + 1))
    end
    call('EXPIRE', log, ARGV[arg + 1])
  end
end
return refusals
