-- What scripts share that change packages.

-- A package without a function and without a registration to come is to be deleted. The bytes stand
-- in a key of another slot, so that is the caller's to do; a later upload gets another key.
local function drop_if_unused(digest)
  if redis.call('HEXISTS', P .. 'uses', digest) == 1 or redis.call('HEXISTS', P .. 'expected', digest) == 1 then
    return
  end
  local generation = redis.call('HGET', P .. 'packages', digest)
  if generation then
    redis.call('HDEL', P .. 'packages', digest)
    redis.call('SADD', P .. 'garbage', digest .. ':' .. generation)
  end
end

-- One registration less to wait for.
local function expect_less(digest)
  if redis.call('HEXISTS', P .. 'expected', digest) == 0 then
    return
  end
  if redis.call('HINCRBY', P .. 'expected', digest, -1) <= 0 then
    redis.call('HDEL', P .. 'expected', digest)
    redis.call('ZREM', P .. 'expected_since', digest)
  end
end
