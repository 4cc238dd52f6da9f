-- Ends a task.
-- ARGV: default time to live, id, attempt, at, status, outcome, usage, result or '', logs or '', 1 for a dead letter.
-- Returns 'applied' or 'stale'.

run_when_full()
local task = look(ARGV[2])
if not is_open(task) or tonumber(ARGV[3]) < task.fence then
  return 'stale'
end
local function given(value)
  return value ~= '' and value or nil
end
conclude(task, ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[1]), {
  status = ARGV[5], outcome = ARGV[6], usage = ARGV[7], result = given(ARGV[8]), logs = given(ARGV[9]),
  dead = given(ARGV[10]),
})
return 'applied'
