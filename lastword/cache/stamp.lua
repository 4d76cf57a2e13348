-- Leaves a bridge's new stamp, and markers, in a data set that still has the stamp the bridge last left there.
-- Returns 1, or 0, with nothing written, in one that has lost it. One that comes late, after a newer stamp, writes
-- nothing either: nobody waits for it any more, and the newer one stays.
--
-- A marker, "<offset> <identity>", stays as it is where the new one has another identity, or is behind it: a bridge that
-- does not know yet that its partition is another's notes nothing over what that one has noted. Unless it begins.
--
-- KEYS: the stamp; the markers
-- ARGV: the least stamp wanted (0: any); the new stamp; its life in milliseconds; "1" to begin, "" to go on; a field and
--       its value for each marker

local function stays(held, new)
  if not held then
    return false
  end
  local offset, identity = string.match(held, '^(%d+) (.+)$')
  local new_offset, new_identity = string.match(new, '^(%d+) (.+)$')
  return offset and (identity ~= new_identity or tonumber(offset) > tonumber(new_offset))
end

local least = tonumber(ARGV[1])
local there = tonumber(redis.call('GET', KEYS[1]) or 0)
if there < least then
  return 0
end
if there > tonumber(ARGV[2]) then
  return 1
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
for at = 5, #ARGV, 2 do  -- one by one: unpack() has an end
  if ARGV[4] == '1' or not stays(redis.call('HGET', KEYS[2], ARGV[at]), ARGV[at + 1]) then
    redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 1])
  end
end
return 1
