-- Says which workers a dispatcher has.
-- ARGV: dispatcher, how long that counts, the workers or '' for none.

if ARGV[3] == '' then
  redis.call('DEL', P .. 'workers:' .. ARGV[1])
  redis.call('ZREM', P .. 'workers', ARGV[1])
  return
end
redis.call('SET', P .. 'workers:' .. ARGV[1], ARGV[3], 'PX', ARGV[2])
redis.call('ZADD', P .. 'workers', now_ms() + ARGV[2], ARGV[1])
