-- Hands out tasks.
-- ARGV: dispatcher, fresh, number of this request, number of the newest request whose answer arrived,
-- most tasks, largest input that goes with the answer, lease, default time to live, outcome of a cancel.
-- Returns 'taken'; or 'late' when a newer request was here; or 'ok', milliseconds until the next delayed
-- task or -1, 1 when there may be more to do at once, and the tasks: id, size of the input where it stands
-- apart, the input unless it is too large, the task, and its state.
--
-- An answer may be lost. What it held is kept as the `batch` of its request; when the next request does
-- not say that it arrived, its tasks are handed out again before all others (`left`).

local me, request, received = ARGV[1], ARGV[3], ARGV[4]
local max, inline, lease, default_ttl = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
-- Most claims of the dead that one call gives back, delayed tasks that it moves, entries that it passes over.
local RELEASED, PROMOTED, PASSED = 256, 256, 1024
-- Most entries that are read from a lane at once.
local READ = 128

run_when_full()
local now = now_ms()
if not enter(me, ARGV[2], now, lease) then
  return { 'taken' }
end
local desk = P .. 'dispatcher:' .. me
local last = redis.call('HMGET', desk, 'request', 'batch', 'left')
if tonumber(request) <= tonumber(last[1]) then
  return { 'late' }
end

local _, reaped = reap(now, RELEASED)
local due = redis.call('ZRANGEBYSCORE', P .. 'delayed', '-inf', now, 'LIMIT', 0, PROMOTED)
for _, id in ipairs(due) do
  redis.call('ZREM', P .. 'delayed', id)
  local lane = redis.call('HGET', task_key(id), 'lane')
  if lane then
    redis.call('HSET', task_key(id), 'entry', append(lane, id))
    take_turn(lane)
  else
    redis.call('DECR', P .. 'queued')
  end
end

local out, batch, claimed, passed, lanes = {}, {}, 0, 0, {}

local function look_closely(id)
  return look(id, 'task', 'size', 'started', 'ended', 'outcome', 'usage', 'spent', 'worker', 'dead')
end

local function give(task)
  local found = task.found
  local size = tonumber(found[10] or 0)
  out[#out + 1] = {
    task.id, size, size > 0 and size <= inline and redis.call('HGET', task_key(task.id), 'input'),
    found[9], found[1], found[2], found[11], found[12], found[13], found[14], found[15], found[16], found[17],
  }
  batch[#batch + 1] = task.id
end

local function cancelled(task)
  if task.cancel then
    conclude(task, task.attempt, now, default_ttl, { status = 'F', outcome = ARGV[9] })
  end
  return task.cancel
end

-- The task of a lane's entry, if it is to be handed out.
local function take(lane, entry, id)
  local task = look_closely(id)
  if not is_open(task) or task.entry ~= entry then
    withdraw(lane, entry)
    if not task.status then
      -- The server evicted the task: this entry is all that was left of it.
      redis.call('DECR', P .. 'queued')
    end
    return false
  end
  if task.owner then
    -- It was seized before it was delivered, and stays its owner's.
    redis.call('XCLAIM', lane_key(lane), GROUP, task.owner, 0, entry, 'JUSTID')
    return false
  end
  if cancelled(task) then
    return false
  end
  redis.call('HSET', task_key(id), 'owner', me)
  claimed = claimed + 1
  return task
end

-- The next entries of a lane: what was given back, then what was never claimed. An error says that the
-- lane is gone, which leaves none.
local function read(lane, count)
  local key = lane_key(lane)
  if redis.call('SISMEMBER', P .. 'freed', lane) == 1 then
    local entries = {}
    for i, claim in ipairs(redis.pcall('XPENDING', key, GROUP, '-', '+', count, FREE)) do
      entries[i] = claim[1]
    end
    if #entries > 0 then
      return redis.call('XCLAIM', key, GROUP, me, 0, unpack(entries))
    end
    redis.call('SREM', P .. 'freed', lane)
  end
  local reply = redis.pcall('XREADGROUP', 'GROUP', GROUP, me, 'COUNT', count, 'STREAMS', key, '>')
  return reply and reply[1] and reply[1][2] or {}
end

local left = {}
local function split(ids)
  for id in string.gmatch(ids or '', '%S+') do
    left[#left + 1] = id
  end
end
if received ~= last[1] then
  split(last[2])
end
split(last[3])
local next_left = 1
while #out < max and next_left <= #left do
  local task = look_closely(left[next_left])
  if is_open(task) and task.owner == me and not cancelled(task) then
    give(task)
  end
  next_left = next_left + 1
end

for _, priority in ipairs({ '2', '1', '0' }) do
  local turns = P .. 'turns:' .. priority
  while #out < max and passed < PASSED do
    local lane = redis.call('ZRANGE', turns, 0, 0)[1]
    if not lane then
      break
    end
    local count = redis.call('ZCARD', turns) == 1 and math.min(max - #out, READ) or 1
    local entries = read(lane, count)
    if #entries == 0 then
      redis.call('ZREM', turns, lane)
    else
      if not lanes[lane] then
        lanes[lane] = true
        redis.call('SADD', P .. 'lanes:' .. me, lane)
      end
      -- Behind the others; the lane goes below if its last entry does.
      redis.call('ZADD', turns, redis.call('INCR', P .. 'turn'), lane)
      for _, entry in ipairs(entries) do
        local task = take(lane, entry[1], entry[2][2])
        if task then
          give(task)
        else
          passed = passed + 1
        end
      end
    end
  end
end

if claimed > 0 then
  redis.call('DECRBY', P .. 'queued', claimed)
end
settle()
redis.call('HSET', desk, 'request', request, 'batch', table.concat(batch, ' '), 'left',
  table.concat(left, ' ', next_left))
local first = redis.call('ZRANGE', P .. 'delayed', 0, 0, 'WITHSCORES')
local until_due = first[2] and math.max(0, math.ceil(first[2] - now)) or -1
local more = (not reaped or #due == PROMOTED or passed >= PASSED) and 1 or 0
return { 'ok', string.format('%.0f', until_due), more, out }
