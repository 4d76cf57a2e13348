-- Writes one product unless its key holds a newer version. The only writer of products; atomic, as every script.
--
-- KEYS[1]  the product's key, `product:<id>`
-- ARGV[1]  version, "<updated_at in microseconds>-<sequence>": decimal, no leading zeros, each below 2^53
-- ARGV[2]  updated_at for people, RFC 3339; stored, never read here
-- ARGV[3]  lock token: 16 lower-case hexadecimal digits, or "" when no lock was held, which is older than any
-- ARGV[4]  "1" for a tombstone, "" for a live product
-- ARGV[5]  data, byte for byte; ignored for a tombstone
-- ARGV[6]  time to live in whole seconds, or "" for none
--
-- The hash: version, updated_at, token, and either data or deleted = "1".
--
-- Returns one of
--   "applied"    the key held no version, or an older one: written
--   "stale"      the key holds a newer version
--   "duplicate"  the key holds this version with this content; of the two lock tokens it keeps the newer
--   "conflict"   the key held this version with other content. A tombstone stays or wins over data; else the content
--                under the newer token stays or wins, for a later load under the lock saw a later state. On equal
--                tokens the later write wins: within one lock the later load saw the later state.
--   "apart"      the key holds a product whose changes are in several partitions, and this version is an offset in one
--                of them, which tells nothing: what there is to write must be loaded; nothing was changed
--   {"unusable", type}             the key holds no hash but this type; nothing was changed
--   {"unusable", "hash", version}  the key holds a hash with this unreadable version; nothing was changed
--
-- So the fields are always those of the greatest (version, deleted, token) ever written, in whatever order the writes
-- came and however often. Only contents of the same version under the same token depend on the order.

local key = KEYS[1]
local version, updated_at, token, deleted, data, ttl = unpack(ARGV)

-- A number below 2^53 is exact in Lua, but formats as 1.7638000000001e+15: numbers are compared, strings are stored.
local function number(digits)
  if digits == '0' or string.find(digits, '^[1-9]%d*$') then
    local value = tonumber(digits)
    return value < 9007199254740992 and value or nil
  end
  return nil
end

local function parse(text)
  local updated_at_us, sequence = string.match(text, '^(%d+)-(%d+)$')
  if not updated_at_us then
    return nil, nil
  end
  return number(updated_at_us), number(sequence)
end

-- Versions from 2^52 on are positions, of generations of 2^48 each; the last 2^44 of a generation are apart.
local function apart(held_us, us)
  local from, held_at, at = 4503599627370496, held_us - 4503599627370496, us - 4503599627370496
  if held_us < from or us < from or math.floor(held_at / 281474976710656) ~= math.floor(at / 281474976710656) then
    return false
  end
  return held_at % 281474976710656 >= 263882790666240 and at % 281474976710656 < 263882790666240
end

local function write()
  -- HSET first: out of memory refuses a script at its first write, when nothing is lost yet.
  if deleted ~= '' then
    redis.call('HSET', key, 'version', version, 'updated_at', updated_at, 'token', token, 'deleted', '1')
    redis.call('HDEL', key, 'data')
  else
    redis.call('HSET', key, 'version', version, 'updated_at', updated_at, 'token', token, 'data', data)
    redis.call('HDEL', key, 'deleted')
  end
  if ttl ~= '' then
    redis.call('EXPIRE', key, ttl)
  else
    redis.call('PERSIST', key)
  end
end

local us, sequence = parse(version)
if not us or not sequence then
  return redis.error_reply('ERR write_if_newer.lua: the version to write is unreadable: ' .. version)
end

local held = redis.pcall('HGET', key, 'version')
if type(held) == 'table' then
  if string.find(held.err, 'WRONGTYPE', 1, true) then
    return {'unusable', redis.call('TYPE', key).ok}
  end
  return held
end
if not held then
  write()
  return 'applied'
end

local held_us, held_sequence = parse(held)
if not held_us or not held_sequence then
  return {'unusable', 'hash', held}
end
if held_us > us or (held_us == us and held_sequence > sequence) then
  return apart(held_us, us) and 'apart' or 'stale'
end
if held_us < us or held_sequence < sequence then
  write()
  return 'applied'
end

local fields = redis.call('HMGET', key, 'deleted', 'data', 'token')
local held_deleted, held_data, held_token = fields[1], fields[2], fields[3] or ''
-- Lua compares strings by the server's LC_COLLATE: lower-case hexadecimal of one width has one order in all of them.
local newer_token = held_token < token
if held_deleted and deleted ~= '' or (not held_deleted and deleted == '' and held_data == data) then
  if newer_token then
    redis.call('HSET', key, 'token', token)
  end
  return 'duplicate'
end
if deleted ~= '' or (not held_deleted and (newer_token or held_token == token)) then
  write()
end
return 'conflict'
