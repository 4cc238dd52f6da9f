-- The workers of all dispatchers that said so lately, as each of them wrote them.

run_when_full()
redis.call('ZREMRANGEBYSCORE', P .. 'workers', '-inf', now_ms())
local found = {}
for _, dispatcher in ipairs(redis.call('ZRANGE', P .. 'workers', 0, -1)) do
  found[#found + 1] = redis.call('GET', P .. 'workers:' .. dispatcher)
end
return found
