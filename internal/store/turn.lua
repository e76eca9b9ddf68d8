-- turn says which worker is to look a queue over: one of any number, once in a while.
--
-- KEYS[1]  turn: the worker that has the present one
-- ARGV[1]  the worker that asks
-- ARGV[2]  how long the turn lasts, seconds
--
-- Returns  1 if the caller has the turn from now on, 0 if the present one has not ended, whoever has it
--
-- Guarantees that a turn is given to one caller. Runs when Redis is out of memory.

if call('SET', KEYS[1], ARGV[1], 'NX', 'EX', ARGV[2]) then
  return 1
end
return 0
