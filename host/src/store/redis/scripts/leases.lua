-- What scripts share that act for a dispatcher, or in the place of a dead one.

-- Notes that the server is reachable. After a time in which nobody reached it, nobody could renew:
-- every lease then gets half its length, for its owner to come back.
local function pulse(now, lease)
  local last = redis.call('GET', P .. 'pulse')
  if not last or now - last > lease / 2 then
    local leases = redis.call('ZRANGE', P .. 'leases', 0, -1, 'WITHSCORES')
    for i = 1, #leases, 2 do
      if tonumber(leases[i + 1]) < now + lease / 2 then
        redis.call('ZADD', P .. 'leases', now + lease / 2, leases[i])
      end
    end
  end
  redis.call('SET', P .. 'pulse', now, 'PX', 60000)
end

-- Makes or renews my lease; false when I was taken for dead. `fresh`: I have none yet.
local function enter(me, fresh, now, lease)
  local desk = P .. 'dispatcher:' .. me
  if redis.call('EXISTS', desk) == 0 then
    if fresh ~= '1' or redis.call('SISMEMBER', P .. 'dying', me) == 1 then
      return false
    end
    redis.call('HSET', desk, 'request', 0)
  end
  pulse(now, lease)
  redis.call('ZADD', P .. 'leases', now + lease, me)
  return true
end

-- Nothing more is taken from this dispatcher as its own.
local function bury(id)
  redis.call('ZREM', P .. 'leases', id)
  redis.call('DEL', P .. 'dispatcher:' .. id)
  redis.call('SADD', P .. 'dying', id)
end

-- Takes a task from its owner.
local function orphan(task, owner)
  if task.owner == owner then
    redis.call('HDEL', task_key(task.id), 'owner')
    redis.call('INCR', P .. 'queued')
    if task.status == 'R' then
      redis.call('HSET', task_key(task.id), 'status', 'L')
    end
  end
end

-- Gives up to `most` claims of a buried dispatcher back to their lanes, in front of what was never
-- claimed. Returns how many, and whether that was all.
local function release(id, most)
  local released = 0
  for _, lane in ipairs(redis.call('SMEMBERS', P .. 'lanes:' .. id)) do
    local key = lane_key(lane)
    local pending = redis.call('EXISTS', key) == 1
      and redis.call('XPENDING', key, GROUP, '-', '+', most - released, id) or {}
    local entries = {}
    for i, claim in ipairs(pending) do
      entries[i] = claim[1]
    end
    if #entries > 0 then
      for _, entry in ipairs(redis.call('XCLAIM', key, GROUP, FREE, 0, unpack(entries))) do
        orphan(look(entry[2][2]), id)
      end
      released = released + #entries
      redis.call('SADD', P .. 'freed', lane)
      take_turn(lane)
    end
    if released >= most then
      return released, false
    end
    if redis.call('EXISTS', key) == 1 then
      redis.call('XGROUP', 'DELCONSUMER', key, GROUP, id)
    end
    redis.call('SREM', P .. 'lanes:' .. id, lane)
  end
  redis.call('SREM', P .. 'dying', id)
  return released, true
end

-- Buries those whose lease ran out, and gives back up to `most` of what they had claimed. Returns how
-- many, and whether that was all.
local function reap(now, most)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'leases', '-inf', now, 'LIMIT', 0, 16)) do
    bury(id)
  end
  local released, all = 0, true
  while released < most do
    local id = redis.call('SRANDMEMBER', P .. 'dying')
    if not id then
      return released, true
    end
    local some
    some, all = release(id, most - released)
    released = released + some
  end
  return released, all
end
