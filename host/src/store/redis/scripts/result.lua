-- Reads how far a task has come and, once it is completed, what it was and what it gave: in one exchange for who waits
-- for both. A result too large for the connection that asks is left out.
-- ARGV: id, largest size of a result, then the fields that make up its state, of which the first is its status.
-- Returns the values of those fields, then the result's size, the task, and the result.

local key = task_key(ARGV[1])
local answer = redis.call('HMGET', key, unpack(ARGV, 3))
if answer[1] == 'C' then
  local size = redis.call('HSTRLEN', key, 'result')
  answer[#ARGV - 1] = size
  answer[#ARGV] = redis.call('HGET', key, 'task')
  answer[#ARGV + 1] = size > 0 and size <= tonumber(ARGV[2]) and redis.call('HGET', key, 'result')
end
return answer
