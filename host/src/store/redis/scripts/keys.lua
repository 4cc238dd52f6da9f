-- What all scripts share. KEYS[1] is the prefix of every key,
-- `{namespace}:`: all keys have one hash tag, so a cluster keeps them on one node and a script may
-- use any of them. Times are milliseconds since the Unix epoch by the server's clock.

local P = KEYS[1]
local GROUP = 'dispatchers'
-- The consumer that holds what nobody claims any more: claims that were given back or taken away.
local FREE = 'free'

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- A server whose memory is full refuses the first command of a script that may need more, unless
-- something was written before it. Scripts that let tasks go on and end begin with this write of
-- nothing: the way out of a full memory must stay open.
local function run_when_full()
  redis.call('DEL', P .. 'none')
end

local function task_key(id)
  return P .. 'task:' .. id
end

-- A lane is `priority:function`: one stream with its consumer group.
local function lane_key(lane)
  return P .. 'lane:' .. lane
end

local function turns_key(lane)
  return P .. 'turns:' .. string.sub(lane, 1, 1)
end
