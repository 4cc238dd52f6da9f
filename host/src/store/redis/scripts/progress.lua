-- Remembers how far running functions have come; it goes with the end of the task.
-- ARGV: for each: id, progress.

for i = 1, #ARGV, 2 do
  if is_open(look(ARGV[i])) then
    redis.call('HSET', task_key(ARGV[i]), 'progress', ARGV[i + 1])
  end
end
