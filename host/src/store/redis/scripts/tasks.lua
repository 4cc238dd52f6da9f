-- What scripts share that change tasks.

-- How long an ended task outlives its time to live when nobody expires it, in milliseconds.
local SLACK = 3600000

-- Gives a lane a turn, behind those that have one.
local function take_turn(lane)
  if not redis.call('ZSCORE', turns_key(lane), lane) then
    redis.call('ZADD', turns_key(lane), redis.call('INCR', P .. 'turn'), lane)
  end
end

-- Appends a task to its lane; returns the entry.
local function append(lane, id)
  local entry = redis.call('XADD', lane_key(lane), 'NOMKSTREAM', '*', 'id', id)
  if not entry then
    redis.call('XGROUP', 'CREATE', lane_key(lane), GROUP, '0', 'MKSTREAM')
    entry = redis.call('XADD', lane_key(lane), '*', 'id', id)
  end
  return entry
end

-- Takes an entry out of its lane; an empty lane goes.
local function withdraw(lane, entry)
  local key = lane_key(lane)
  redis.call('XACK', key, GROUP, entry)
  redis.call('XDEL', key, entry)
  if redis.call('XLEN', key) == 0 then
    redis.call('DEL', key)
    redis.call('ZREM', turns_key(lane), lane)
    redis.call('SREM', P .. 'freed', lane)
  end
end

-- Writes a new task; fields that are false or '' are left out.
local function create(id, fields)
  local flat = {}
  for name, value in pairs(fields) do
    if value and value ~= '' then
      flat[#flat + 1] = name
      flat[#flat + 1] = value
    end
  end
  if fields.input ~= '' then
    flat[#flat + 1] = 'size'
    flat[#flat + 1] = #fields.input
  end
  redis.call('HSET', task_key(id), unpack(flat))
  redis.call('ZADD', P .. 'tasks', 0, id)
end

-- What a decision needs to know of a task; no status when there is no such task.
-- `found` holds the values of more fields behind these, if any were asked for.
local function look(id, ...)
  local found = redis.call('HMGET', task_key(id),
    'status', 'attempt', 'fence', 'owner', 'lane', 'entry', 'ttl', 'cancel', ...)
  return {
    id = id, status = found[1], attempt = tonumber(found[2] or 0), fence = tonumber(found[3] or 0),
    owner = found[4], lane = found[5], entry = found[6], ttl = found[7], cancel = found[8], found = found,
  }
end

-- Q: queued; R: an attempt runs; L: an attempt ran whose dispatcher died, for the next to see, while
-- clients read QUEUED; C, F: ended.
local function is_open(task)
  return task.status == 'Q' or task.status == 'R' or task.status == 'L'
end

-- Takes a task out of its lane or from among the delayed.
local function leave(task)
  if task.entry then
    withdraw(task.lane, task.entry)
  else
    redis.call('ZREM', P .. 'delayed', task.id)
  end
  if not task.owner then
    redis.call('DECR', P .. 'queued')
  end
end

-- Ends a task. `report`: status C or F, outcome, and where there are any: usage, result, logs, dead.
local function conclude(task, attempt, at_ms, default_ttl, report)
  local key = task_key(task.id)
  leave(task)
  local fields = { 'status', report.status, 'attempt', attempt, 'fence', attempt, 'ended', at_ms, 'outcome', report.outcome }
  for _, name in ipairs({ 'usage', 'result', 'logs', 'dead' }) do
    if report[name] then
      fields[#fields + 1] = name
      fields[#fields + 1] = report[name]
    end
  end
  redis.call('HSET', key, unpack(fields))
  redis.call('HDEL', key, 'owner', 'entry', 'progress', 'cancel')
  if not report.usage then
    redis.call('HDEL', key, 'usage')
  end
  if task.cancel then
    redis.call('SREM', P .. 'cancels', task.id)
  end
  if task.ttl then
    redis.call('ZADD', P .. 'expiring', at_ms + task.ttl, task.id)
  else
    redis.call('ZADD', P .. 'ended', at_ms, task.id)
  end
  redis.call('PEXPIRE', key, string.format('%.0f', (task.ttl or default_ttl) + SLACK))
  if report.dead then
    redis.call('ZADD', P .. 'dead', 0, task.id)
  end
  redis.call('PUBLISH', P .. 'done', task.id)
end

-- Makes `me` the owner of a task that nobody owns; its entry becomes a claim of mine whether or not
-- the lane has delivered it yet.
local function seize(task, me)
  redis.call('XCLAIM', lane_key(task.lane), GROUP, me, 0, task.entry, 'FORCE', 'JUSTID')
  redis.call('SADD', P .. 'lanes:' .. me, task.lane)
  redis.call('HSET', task_key(task.id), 'owner', me)
  redis.call('DECR', P .. 'queued')
end
