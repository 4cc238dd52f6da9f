-- Removes a function with its aliases, and its package when no other function uses it. The name keeps
-- its highest version, so that a number is never given twice.
-- ARGV: id.
-- Returns 1, or 0 when there was none.

local id = ARGV[1]
local found = redis.call('HMGET', P .. 'function:' .. id, 'name', 'version', 'package')
if not found[1] then
  return 0
end
local key, digest = P .. 'name:' .. found[1], found[3]
redis.call('DEL', P .. 'function:' .. id)
redis.call('HDEL', key, 'v:' .. found[2], 'newest')
local fields, highest = redis.call('HGETALL', key), 0
for i = 1, #fields, 2 do
  local version = tonumber(string.match(fields[i], '^v:(%d+)$'))
  if version and version > highest then
    highest = version
    redis.call('HSET', key, 'newest', fields[i + 1])
  elseif string.sub(fields[i], 1, 2) == 'a:' and string.match(fields[i + 1], '%S+') == found[2] then
    redis.call('HDEL', key, fields[i])
  end
end
if highest == 0 then
  redis.call('ZREM', P .. 'names', found[1])
end
if redis.call('HINCRBY', P .. 'uses', digest, -1) <= 0 then
  redis.call('HDEL', P .. 'uses', digest)
  drop_if_unused(digest)
end
redis.call('PUBLISH', P .. 'removed', id)
return 1
