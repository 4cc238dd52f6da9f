-- Deletes what is over its time. A task that went by itself, because nobody expired it for long, is
-- noted all the same.
-- ARGV: now, most, and before when: tasks ended that live as long as the server says, tombstones were
-- made, idempotency keys were submitted; each '' for never.
-- Returns how many tasks went, and 1 when there may be more of anything.

local now, most = ARGV[1], tonumber(ARGV[2])
local more = 0

-- Takes up to `count` members with a score below `before` out of a sorted set.
local function extract(set, before, count)
  if before == '' or count == 0 then
    return {}
  end
  local members = redis.call('ZRANGEBYSCORE', P .. set, '-inf', '(' .. before, 'LIMIT', 0, count)
  if #members > 0 then
    redis.call('ZREM', P .. set, unpack(members))
  end
  if #members == count then
    more = 1
  end
  return members
end

local function expire(ids)
  for _, id in ipairs(ids) do
    redis.call('UNLINK', task_key(id))
    redis.call('ZREM', P .. 'tasks', id)
    redis.call('ZREM', P .. 'dead', id)
    redis.call('ZADD', P .. 'tombstones', now, id)
  end
  return #ids
end

local expired = expire(extract('ended', ARGV[3], most))
expired = expired + expire(extract('expiring', now, most - expired))
extract('tombstones', ARGV[4], most)
for _, digest in ipairs(extract('keys', ARGV[5], most)) do
  redis.call('DEL', P .. 'key:' .. digest)
end
return { expired, more }
