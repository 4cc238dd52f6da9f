-- Renews a lease, and gives back claims of the dead for others to take.
-- ARGV: dispatcher, lease.
-- Returns 'ok', or 'taken' when this dispatcher was taken for dead.

run_when_full()
local now, lease = now_ms(), tonumber(ARGV[2])
if not enter(ARGV[1], '0', now, lease) then
  return 'taken'
end
if reap(now, 256) > 0 then
  redis.call('PUBLISH', P .. 'wake', '')
end
return 'ok'
