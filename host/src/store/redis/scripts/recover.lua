-- Takes over the task of an attempt that a worker has in hand.
-- ARGV: dispatcher, fresh, lease, default time to live, outcome of a cancel, id, attempt, worker.
-- Returns 'mine', 'owned', 'stale', or 'taken' when this dispatcher was taken for dead.

run_when_full()
local me, attempt, now, lease = ARGV[1], tonumber(ARGV[7]), now_ms(), tonumber(ARGV[3])
if not enter(me, ARGV[2], now, lease) then
  return 'taken'
end
local task = look(ARGV[6])
if not is_open(task) or attempt < task.fence then
  return 'stale'
end
if task.owner and task.owner ~= me then
  local lives = redis.call('ZSCORE', P .. 'leases', task.owner)
  if lives and tonumber(lives) > now then
    return 'owned'
  end
  -- It learns that it is taken for dead, though only one of its tasks is needed now.
  bury(task.owner)
  orphan(task, task.owner)
  task.owner = false
end
if not task.owner and not task.entry then
  -- It was requeued for later: whatever this attempt is, it is not that task's newest.
  return 'stale'
end
if task.cancel then
  conclude(task, task.attempt, now, tonumber(ARGV[4]), { status = 'F', outcome = ARGV[5] })
  settle()
  return 'stale'
end
if not task.owner then
  seize(task, me)
end
if task.status == 'Q' or task.attempt ~= attempt then
  -- It began without the store's knowledge.
  redis.call('HSET', task_key(task.id), 'started', now)
end
redis.call('HSET', task_key(task.id), 'status', 'R', 'attempt', attempt, 'fence', attempt, 'worker', ARGV[8])
return 'mine'
