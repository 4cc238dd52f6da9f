-- Keeps a package for a registration that is to come.
-- ARGV: digest.
-- Returns the number of the key that its bytes stand in.

redis.call('HINCRBY', P .. 'expected', ARGV[1], 1)
redis.call('ZADD', P .. 'expected_since', now_ms(), ARGV[1])
local generation = redis.call('HGET', P .. 'packages', ARGV[1])
if not generation then
  generation = redis.call('INCR', P .. 'generation')
  redis.call('HSET', P .. 'packages', ARGV[1], generation)
end
return tostring(generation)
