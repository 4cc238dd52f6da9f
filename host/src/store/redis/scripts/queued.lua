-- How many tasks wait, those included that were handed to this dispatcher in an answer which it never got.
-- ARGV: dispatcher, number of the newest request whose answer arrived.

local count = tonumber(redis.call('GET', P .. 'queued') or 0)
local last = redis.call('HMGET', P .. 'dispatcher:' .. ARGV[1], 'request', 'batch', 'left')
local ids = last[3] or ''
if last[1] and last[1] ~= ARGV[2] then
  ids = ids .. ' ' .. (last[2] or '')
end
for id in string.gmatch(ids, '%S+') do
  if redis.call('HGET', task_key(id), 'owner') == ARGV[1] then
    count = count + 1
  end
end
return count
