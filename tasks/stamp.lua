-- Leaves a bridge's new stamp, and markers, in a data set that still has the stamp the bridge last left there.
-- Returns 1, or 0, with nothing written, in one that has lost it. One that comes late, after a newer stamp, writes
-- nothing either: nobody waits for it any more, and the newer one stays.
--
-- KEYS: the stamp; the markers
-- ARGV: the least stamp wanted (0: any); the new stamp; its life in milliseconds; a field and its value for each marker

local least = tonumber(ARGV[1])
local there = tonumber(redis.call('GET', KEYS[1]) or 0)
if there < least then
  return 0
end
if there > tonumber(ARGV[2]) then
  return 1
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
for at = 4, #ARGV, 2 do  -- one by one: unpack() has an end
  redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 1])
end
return 1
