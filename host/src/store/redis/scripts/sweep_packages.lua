-- Forgets packages whose registration never came.
-- ARGV: how long one is waited for.

for _, digest in ipairs(redis.call('ZRANGEBYSCORE', P .. 'expected_since', '-inf', now_ms() - ARGV[1], 'LIMIT', 0, 100)) do
  redis.call('HDEL', P .. 'expected', digest)
  redis.call('ZREM', P .. 'expected_since', digest)
  drop_if_unused(digest)
end
