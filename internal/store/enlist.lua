-- enlist puts a worker process into a list of those that live, beside what else it publishes there.
--
-- KEYS[1]  zset of what lives, by expiry
-- KEYS[2]  what the process publishes; absent: nothing
-- ARGV[1]  how long it holds, seconds
-- ARGV[2]  member of the zset
-- ARGV[3]  what KEYS[2] is to hold
--
-- Returns  1
--
-- Guarantees that both are written or neither. Runs when Redis is out of memory: the api goes by what is published here.

if KEYS[2] then
  call('SET', KEYS[2], ARGV[3], 'EX', ARGV[1])
end
call('ZADD', KEYS[1], digits(now_s + ARGV[1]), ARGV[2])
return 1
