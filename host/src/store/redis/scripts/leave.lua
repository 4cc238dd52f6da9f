-- Gives back what a dispatcher claimed: its clean end.
-- ARGV: dispatcher.
-- Returns 1 when that was all, 0 when there is more.

run_when_full()
if redis.call('EXISTS', P .. 'dispatcher:' .. ARGV[1]) == 1 then
  bury(ARGV[1])
end
if redis.call('SISMEMBER', P .. 'dying', ARGV[1]) == 0 then
  return 1
end
local released, all = release(ARGV[1], 1000)
if released > 0 then
  redis.call('PUBLISH', P .. 'wake', '')
end
return all and 1 or 0
