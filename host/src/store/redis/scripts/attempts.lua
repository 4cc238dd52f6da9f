-- Writes what became of attempts, as if each write were a script of its own.
-- ARGV: lease, default time to live, outcome of a cancel, then of each write:
--   'S', dispatcher, fresh, id, attempt, worker, at: the attempt began;
--   'E', id, attempt, at, status, outcome, usage, result or '', logs or '', 1 for a dead letter or '': its
--     task ends;
--   'Q', id, attempt, outcome, spent, not before: its task goes to the end of its lane, or among the
--     delayed.
-- Returns a letter for each: 'a' applied, 's' stale, 't' when this dispatcher was taken for dead, '?' when
-- its task cannot be read.

run_when_full()
local lease, default_ttl, cancelled = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local now = now_ms()
-- What was looked at, as the writes so far leave it; of that, what is begun and not written.
local seen, begun = {}, {}
local requeued = 0

-- What is known of a task, while attempts as old as this one may still change it.
local function open_for(id, attempt)
  local task = seen[id] or look(id)
  seen[id] = task
  return is_open(task) and attempt >= task.fence and task
end

local function start(me, fresh, id, attempt, worker, at)
  local task = open_for(id, attempt)
  if not task or (task.owner and task.owner ~= me) then
    return 's'
  end
  if not task.owner then
    -- An attempt that outlived its dispatcher: it takes its task out of the queue.
    if not task.entry then
      return 's'
    end
    if not enter(me, fresh, now, lease) then
      return 't'
    end
    seize(task, me)
    task.owner = me
  end
  if task.status ~= 'R' or task.attempt ~= attempt then
    task.status, task.attempt, task.fence, task.began = 'R', attempt, attempt, { at, worker }
    begun[#begun + 1] = task
  end
  return 'a'
end

local function given(value)
  return value ~= '' and value or nil
end

local function finish(id, attempt, at, status, outcome, usage, result, logs, dead)
  local task = open_for(id, tonumber(attempt))
  if not task then
    return 's'
  end
  conclude(task, attempt, at, default_ttl, {
    status = status, outcome = outcome, usage = usage, result = given(result), logs = given(logs), dead = given(dead),
  })
  return 'a'
end

local function requeue(id, attempt, outcome, spent, not_before)
  local task = open_for(id, attempt)
  if not task then
    return 's'
  end
  if task.cancel then
    conclude(task, attempt, now, default_ttl, { status = 'F', outcome = cancelled })
    return 'a'
  end
  local key = task_key(id)
  leave(task)
  redis.call('HSET', key, 'status', 'Q', 'attempt', attempt, 'fence', attempt + 1, 'outcome', outcome, 'spent', spent)
  if task.began then
    redis.call('HSET', key, 'started', task.began[1])
  end
  redis.call('HDEL', key, 'owner', 'entry', 'progress', 'worker')
  task.status, task.attempt, task.fence, task.owner, task.entry, task.began = 'Q', attempt, attempt + 1, false, false, nil
  if tonumber(not_before) > now then
    redis.call('ZADD', P .. 'delayed', not_before, id)
  else
    task.entry = append(task.lane, id)
    redis.call('HSET', key, 'entry', task.entry)
    take_turn(task.lane)
  end
  requeued = requeued + 1
  return 'a'
end

-- The arguments behind `at`, as many as the kind of write has.
local function write(at)
  local kind = ARGV[at]
  if kind == 'S' then
    return start(ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], tonumber(ARGV[at + 4]), ARGV[at + 5], ARGV[at + 6])
  elseif kind == 'E' then
    return finish(ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5], ARGV[at + 6],
      ARGV[at + 7], ARGV[at + 8], ARGV[at + 9])
  end
  return requeue(ARGV[at + 1], tonumber(ARGV[at + 2]), ARGV[at + 3], ARGV[at + 4], ARGV[at + 5])
end

local LENGTHS = { S = 7, E = 10, Q = 6 }
local answers, at = {}, 4
while at <= #ARGV do
  -- A task that cannot be read must not keep the others from ending.
  local is_read, answer = pcall(write, at)
  answers[#answers + 1] = is_read and answer or '?'
  at = at + LENGTHS[ARGV[at]]
end
for _, task in ipairs(begun) do
  if task.began then
    redis.call('HSET', task_key(task.id), 'status', 'R', 'attempt', task.attempt, 'fence', task.attempt,
      'started', task.began[1], 'worker', task.began[2])
    task.began = nil
  end
end
if requeued > 0 then
  redis.call('INCRBY', P .. 'queued', requeued)
  redis.call('PUBLISH', P .. 'wake', '')
end
settle()
return table.concat(answers)
