-- Records that an attempt began.
-- ARGV: dispatcher, fresh, lease, id, attempt, worker, at.
-- Returns 'applied', 'stale', or 'taken' when this dispatcher was taken for dead.

run_when_full()
local me, attempt = ARGV[1], tonumber(ARGV[5])
local task = look(ARGV[4])
if not is_open(task) or attempt < task.fence or (task.owner and task.owner ~= me) then
  return 'stale'
end
if not task.owner then
  -- An attempt that outlived its dispatcher: it takes its task out of the queue.
  if not task.entry then
    return 'stale'
  end
  if not enter(me, ARGV[2], now_ms(), tonumber(ARGV[3])) then
    return 'taken'
  end
  seize(task, me)
end
if task.status ~= 'R' or task.attempt ~= attempt then
  redis.call('HSET', task_key(task.id), 'status', 'R', 'attempt', attempt, 'fence', attempt, 'started', ARGV[7],
    'worker', ARGV[6])
end
return 'applied'
