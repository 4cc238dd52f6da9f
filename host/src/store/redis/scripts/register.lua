-- Registers functions, all or none.
-- ARGV: for each: name, digest of the package, entry, id to give, record.
-- Returns 'missing' and the digest of a package that is not stored; or for each: 1 when it is new, id, version.

local packages = {}
for i = 1, #ARGV, 5 do
  local digest = ARGV[i + 1]
  if redis.call('HEXISTS', P .. 'packages', digest) == 0 then
    return { 'missing', digest }
  end
  packages[digest] = true
end

-- Whether a function is the same entry of the same package.
local function is_same(id, digest, entry)
  local found = id and redis.call('HMGET', P .. 'function:' .. id, 'package', 'entry')
  return found and found[1] == digest and found[2] == entry
end

local registered = {}
for i = 1, #ARGV, 5 do
  local name, digest, entry, id = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local key = P .. 'name:' .. name
  local newest = redis.call('HGET', key, 'newest')
  if is_same(newest, digest, entry) then
    registered[#registered + 1] = { 0, newest, redis.call('HGET', P .. 'function:' .. newest, 'version') }
  else
    local version = redis.call('HINCRBY', key, 'last', 1)
    redis.call('HSET', key, 'newest', id, 'v:' .. version, id)
    redis.call('ZADD', P .. 'names', 0, name)
    redis.call('HSET', P .. 'function:' .. id, 'record', ARGV[i + 4], 'name', name, 'version', version,
      'package', digest, 'entry', entry)
    redis.call('HINCRBY', P .. 'uses', digest, 1)
    registered[#registered + 1] = { 1, id, tostring(version) }
  end
end
for digest in pairs(packages) do
  expect_less(digest)
end
return registered
