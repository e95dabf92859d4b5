-- Facts that the fleet stores, and which process fetches them. This text goes before lookup, store and renew_leases.
--
-- For each fact two keys of one slot:
--   fact   hash: body · fetched, when the fetch began (µs, the writer's clock) · soft, until when the fact is fresh ·
--          hard, until when it may be served if a fetch does not fail (both µs, this server's clock)
--   lease  hash: token of the fetch · ends (µs) · wanted, the token whose fetch another process waits for
--
-- Names in capitals are constants: notification_sender/adapters/redis/constants.py.

local clock = redis.call('TIME')
local now = clock[1] * SECOND + clock[2]

-- A key of another type was written by another program: it is deleted and read as empty.
local function fields(key, ...)
  local stored = redis.pcall('HMGET', key, ...)
  if not stored.err then return stored end
  redis.call('DEL', key)
  return {}
end

local function number(text)
  return tonumber(text or 0) or 0
end

local function hold(lease, token, ms)
  redis.call('HSET', lease, 'token', token, 'ends', string.format('%.0f', now + ms * 1000))
  redis.call('PEXPIRE', lease, ms)
end
