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

-- What a script puts off, to do it for all its tasks with one command: `settle`, at its end.
-- Entries by lane, members of sorted sets behind their scores, ids.
local withdrawn, unqueued, wishes, done = {}, 0, {}, {}
local tasks, ended, expiring, dead = {}, {}, {}, {}

local function add(set, score, member)
  set[#set + 1] = score
  set[#set + 1] = member
end

-- Takes an entry out of its lane.
local function withdraw(lane, entry)
  local entries = withdrawn[lane] or {}
  withdrawn[lane] = entries
  entries[#entries + 1] = entry
end

-- Every script that creates, withdraws or concludes ends with this.
local function settle()
  for lane, entries in pairs(withdrawn) do
    local key = lane_key(lane)
    -- One lane that cannot be used must not keep the tasks of others from ending.
    redis.pcall('XACK', key, GROUP, unpack(entries))
    redis.pcall('XDEL', key, unpack(entries))
    -- An empty lane goes.
    if redis.pcall('XLEN', key) == 0 then
      redis.call('DEL', key)
      redis.call('ZREM', turns_key(lane), lane)
      redis.call('SREM', P .. 'freed', lane)
    end
  end
  if unqueued > 0 then
    redis.call('DECRBY', P .. 'queued', unqueued)
  end
  for set, members in pairs({ tasks = tasks, ended = ended, expiring = expiring, dead = dead }) do
    if #members > 0 then
      redis.call('ZADD', P .. set, unpack(members))
    end
  end
  if #wishes > 0 then
    redis.call('SREM', P .. 'cancels', unpack(wishes))
  end
  if #done > 0 then
    redis.call('PUBLISH', P .. 'done', table.concat(done, ' '))
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
  add(tasks, 0, id)
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
    unqueued = unqueued + 1
  end
end

-- How long an ended task is kept at most, as text; numbers are slow to write.
local lives = {}
local function life(ttl)
  lives[ttl] = lives[ttl] or string.format('%.0f', ttl + SLACK)
  return lives[ttl]
end

-- Ends a task; attempt and time may be text. `report`: status C or F, outcome, and where there are any:
-- usage, result, logs, dead. A task that has `began` (when, where) had its start put off: it is written with
-- the end.
local function conclude(task, attempt, at_ms, default_ttl, report)
  local key = task_key(task.id)
  leave(task)
  local fields = { 'status', report.status, 'attempt', attempt, 'fence', attempt, 'ended', at_ms, 'outcome', report.outcome }
  for _, name in ipairs({ 'usage', 'result', 'logs', 'dead' }) do
    if report[name] then
      add(fields, name, report[name])
    end
  end
  if task.began then
    add(fields, 'started', task.began[1])
    add(fields, 'worker', task.began[2])
    task.began = nil
  end
  redis.call('HSET', key, unpack(fields))
  redis.call('HDEL', key, 'owner', 'entry', 'progress', 'cancel')
  if not report.usage then
    redis.call('HDEL', key, 'usage')
  end
  if task.cancel then
    wishes[#wishes + 1] = task.id
  end
  if task.ttl then
    add(expiring, at_ms + task.ttl, task.id)
  else
    add(ended, at_ms, task.id)
  end
  redis.call('PEXPIRE', key, life(task.ttl or default_ttl))
  if report.dead then
    add(dead, 0, task.id)
  end
  done[#done + 1] = task.id
  task.status = report.status
end

-- Makes `me` the owner of a task that nobody owns; its entry becomes a claim of mine whether or not
-- the lane has delivered it yet.
local function seize(task, me)
  redis.call('XCLAIM', lane_key(task.lane), GROUP, me, 0, task.entry, 'FORCE', 'JUSTID')
  redis.call('SADD', P .. 'lanes:' .. me, task.lane)
  redis.call('HSET', task_key(task.id), 'owner', me)
  redis.call('DECR', P .. 'queued')
end
