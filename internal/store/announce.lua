-- announce publishes what a worker process tells about itself and about the tasks that it runs, for asynq's readers.
--
-- KEYS[1]  server info
-- KEYS[2]  tasks that run, a hash
-- ARGV[1]  how long it holds, seconds
-- ARGV[2]  server info
-- ARGV[3…] pairs: a task's ID, worker info
--
-- Returns  1
--
-- Guarantees that readers see the tasks of one moment. Runs when Redis is out of memory, which is when an operator wants
-- to see who works.

local server, running, life = KEYS[1], KEYS[2], ARGV[1]

call('SET', server, ARGV[2], 'EX', life)
call('DEL', running)
for i = 3, #ARGV, 1000 do
  call('HSET', running, unpack(ARGV, i, math.min(i + 999, #ARGV)))
end
call('EXPIRE', running, life)
return 1
