-- Puts a task back at the end of its lane, or among the delayed.
-- ARGV: default time to live, outcome of a cancel, id, attempt, outcome, spent, not before.
-- Returns 'applied' or 'stale'.

run_when_full()
local now = now_ms()
local task, attempt = look(ARGV[3]), tonumber(ARGV[4])
if not is_open(task) or attempt < task.fence then
  return 'stale'
end
if task.cancel then
  conclude(task, attempt, now, tonumber(ARGV[1]), { status = 'F', outcome = ARGV[2] })
  return 'applied'
end
local key = task_key(task.id)
leave(task)
redis.call('HSET', key, 'status', 'Q', 'attempt', attempt, 'fence', attempt + 1, 'outcome', ARGV[5], 'spent', ARGV[6])
redis.call('HDEL', key, 'owner', 'entry', 'progress', 'worker')
if tonumber(ARGV[7]) > now then
  redis.call('ZADD', P .. 'delayed', ARGV[7], task.id)
else
  redis.call('HSET', key, 'entry', append(task.lane, task.id))
  take_turn(task.lane)
end
redis.call('INCR', P .. 'queued')
redis.call('PUBLISH', P .. 'wake', '')
return 'applied'
