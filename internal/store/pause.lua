-- pause keeps workers from taking tasks out of a queue.
--
-- KEYS[1]  paused key
-- ARGV     none
--
-- Returns  1 if paused, 0 if it was before
--
-- Guarantees that a queue can be paused when Redis is out of memory, which is when an operator may want it.

return call('SETNX', KEYS[1], clock[1])
