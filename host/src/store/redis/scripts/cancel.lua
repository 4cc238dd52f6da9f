-- Ends a task as cancelled unless an attempt runs.
-- ARGV: default time to live, outcome of a cancel, id, at.
-- Returns 'cancelled', 'running', 'ended' or 'unknown'.

run_when_full()
local task = look(ARGV[3])
if not task.status then
  return 'unknown'
elseif not is_open(task) then
  return 'ended'
elseif task.status == 'R' then
  return 'running'
end
conclude(task, task.attempt, tonumber(ARGV[4]), tonumber(ARGV[1]), { status = 'F', outcome = ARGV[2] })
settle()
return 'cancelled'
