-- Points an alias at a version.
-- ARGV: name, alias, version.
-- Returns 1, or 0 when there is no such version.

local id = redis.call('HGET', P .. 'name:' .. ARGV[1], 'v:' .. ARGV[3])
if not id then
  return 0
end
redis.call('HSET', P .. 'name:' .. ARGV[1], 'a:' .. ARGV[2], ARGV[3] .. ' ' .. id)
return 1
