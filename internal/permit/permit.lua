-- permit tells what the caller's user may not do: a script that is refused something halfway has done the first half, so
-- that whoever lacks a permission had better not begin.
--
-- KEYS     none: Redis would refuse the call for a single key out of reach
-- ARGV[1]  the channel that the caller's scripts publish to; empty: none
-- ARGV[2]  number of commands that they consist of
-- ARGV[3]  number of keys that they work on
-- ARGV[4…] those commands, those keys, and then for each command that is sent by itself how many words it has, and the words
--
-- Returns  pairs of a command and a key for which it is refused, '' if it takes none; nothing on a server that cannot tell
--
-- Guarantees that nothing is written.

local refused = {}
local allowed = redis.acl_check_cmd
if not allowed then
  return refused
end

local function refuse(command, key)
  refused[#refused + 1], refused[#refused + 2] = command, key
end

local last = 3 + ARGV[2]
for i = 4, last do
  local command = ARGV[i]
  if command == 'TIME' then
    if not allowed(command) then
      refuse(command, '')
    end
  elseif command == 'PUBLISH' then
    if not allowed(command, ARGV[1], '') then
      refuse(command, ARGV[1])
    end
  elseif command == 'XINFO' then
    for k = last + 1, last + ARGV[3] do
      if not allowed(command, 'STREAM', ARGV[k]) then
        refuse(command, ARGV[k])
      end
    end
  else
    for k = last + 1, last + ARGV[3] do
      if not allowed(command, ARGV[k]) then
        refuse(command, ARGV[k])
      end
    end
  end
end

local at = last + ARGV[3] + 1
while ARGV[at] do
  local words = tonumber(ARGV[at])
  if not allowed(unpack(ARGV, at + 1, at + words)) then
    refuse(ARGV[at + 1], words > 1 and ARGV[at + 2] or '')
  end
  at = at + words + 1
end
return refused
