-- Stores a task whose first attempt runs already, as this dispatcher's.
-- ARGV: dispatcher, fresh, lease, id, lane, started at, time to live or '', task, input if it
-- stands apart or ''.
-- Returns 'ok', or 'taken' when this dispatcher was taken for dead.

local me, id, lane = ARGV[1], ARGV[4], ARGV[5]
if redis.call('EXISTS', task_key(id)) == 1 then
  return 'ok'
end
if not enter(me, ARGV[2], now_ms(), tonumber(ARGV[3])) then
  return 'taken'
end
local entry = append(lane, id)
create(id, {
  status = 'R', lane = lane, entry = entry, task = ARGV[8], input = ARGV[9], ttl = ARGV[7],
  attempt = 1, fence = 1, started = ARGV[6], owner = me,
})
-- A claim without a delivery: a later delivery finds the owner and leaves it alone.
redis.call('XCLAIM', lane_key(lane), GROUP, me, 0, entry, 'FORCE', 'JUSTID')
redis.call('SADD', P .. 'lanes:' .. me, lane)
settle()
return 'ok'
