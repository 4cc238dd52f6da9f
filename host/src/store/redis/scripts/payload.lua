-- Reads a payload of a task, unless it is too large for the connection that asks.
-- ARGV: id, field, largest size.
-- Returns the task's status, the payload's size, and the payload.

local key = task_key(ARGV[1])
local size = redis.call('HSTRLEN', key, ARGV[2])
return {
  redis.call('HGET', key, 'status'), size,
  size > 0 and size <= tonumber(ARGV[3]) and redis.call('HGET', key, ARGV[2]),
}
