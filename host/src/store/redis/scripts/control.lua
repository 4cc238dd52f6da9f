-- Tells the dispatchers something, and keeps a wish to cancel with its task.
-- ARGV: message, id of the task to cancel or ''.

run_when_full()
if ARGV[2] ~= '' then
  local task = look(ARGV[2])
  if not is_open(task) then
    return
  end
  redis.call('HSET', task_key(task.id), 'cancel', 1)
  redis.call('SADD', P .. 'cancels', task.id)
end
redis.call('PUBLISH', P .. 'control', ARGV[1])
