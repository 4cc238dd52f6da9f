-- Reads how far a task has come and, once it is completed, what it was and what it gave: in one exchange for who waits
-- for both. A result too large for the connection that asks is left out.
-- ARGV: id, largest size of a result.
-- Returns the values of the fields that make up its state, then the result's size, the task, and the result.

local key = task_key(ARGV[1])
local answer = redis.call(
  'HMGET', key, 'status', 'attempt', 'started', 'ended', 'outcome', 'usage', 'spent', 'worker', 'dead'
)
if answer[1] == 'C' then
  local size = redis.call('HSTRLEN', key, 'result')
  answer[10] = size
  answer[11] = redis.call('HGET', key, 'task')
  answer[12] = size > 0 and size <= tonumber(ARGV[2]) and redis.call('HGET', key, 'result')
end
return answer
