-- permit tells what the caller's user may not do: a script that is refused something halfway has done the first half, so
-- that whoever lacks a permission had better not begin.
--
-- KEYS     none: Redis would refuse the call for a single key out of reach
-- ARGV[1]  the channel that the caller's scripts publish to; empty: none
-- ARGV[2]  number of commands
-- ARGV[3…] the commands that they consist of, and then the keys that they work on
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

local last = 2 + ARGV[2]
for i = 3, last do
  local command = ARGV[i]
  if command == 'TIME' then
    if not allowed(command) then
      refuse(command, '')
    end
  elseif command == 'PUBLISH' then
    if not allowed(command, ARGV[1], '') then
      refuse(command, ARGV[1])
    end
  else
    for k = last + 1, #ARGV do
      if not allowed(command, ARGV[k]) then
        refuse(command, ARGV[k])
      end
    end
  end
end
return refused
