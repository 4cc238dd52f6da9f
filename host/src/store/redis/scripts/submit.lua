-- Stores and queues tasks.
-- ARGV: most queued, idempotency window, then for each task: id, lane, not before or '', submitted at,
-- time to live or '', digest of the idempotency key or '', digest of its content or '', task, input if it
-- stands apart or ''.
-- Returns for each: 'S' stored, 'F' queue full, 'D' or 'C' and an id: duplicate, conflict.

local now = now_ms()
local window = tonumber(ARGV[2])
local room = tonumber(ARGV[1]) - tonumber(redis.call('GET', P .. 'queued') or 0)
local answers, stored, lanes = {}, 0, {}

-- Whether any of the tasks is there already: mostly none is, and no more questions are needed.
local keys, mine = {}, {}
for i = 3, #ARGV, 9 do
  keys[#keys + 1] = task_key(ARGV[i])
end
local is_any_known = redis.call('EXISTS', unpack(keys)) > 0

-- What an earlier task with the same idempotency key makes of this one.
local function earlier(digest, content, submitted)
  local found = redis.call('HMGET', P .. 'key:' .. digest, 'id', 'content', 'submitted')
  if found[1] and tonumber(submitted) < found[3] + window then
    return (found[2] == content and 'D' or 'C') .. found[1]
  end
end

local function store(id, lane, not_before, submitted, ttl, digest, content, task, input)
  if mine[id] or is_any_known and redis.call('EXISTS', task_key(id)) == 1 then
    -- The same request again: its first answer was lost.
    return 'S'
  end
  local before = digest ~= '' and earlier(digest, content, submitted)
  if before then
    return before
  end
  if stored >= room then
    return 'F'
  end
  local entry = false
  if not_before ~= '' and tonumber(not_before) > now then
    redis.call('ZADD', P .. 'delayed', not_before, id)
  else
    entry = append(lane, id)
  end
  create(id, { status = 'Q', lane = lane, entry = entry, task = task, input = input, ttl = ttl })
  if digest ~= '' then
    redis.call('HSET', P .. 'key:' .. digest, 'id', id, 'content', content, 'submitted', submitted)
    redis.call('PEXPIRE', P .. 'key:' .. digest, window)
    redis.call('ZADD', P .. 'keys', submitted, digest)
  end
  if entry and not lanes[lane] then
    lanes[lane] = true
    take_turn(lane)
  end
  stored, mine[id] = stored + 1, true
  return 'S'
end

for i = 3, #ARGV, 9 do
  answers[#answers + 1] = store(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5],
    ARGV[i + 6], ARGV[i + 7], ARGV[i + 8])
end
if stored > 0 then
  settle()
  redis.call('INCRBY', P .. 'queued', stored)
  redis.call('PUBLISH', P .. 'wake', '')
end
return answers
