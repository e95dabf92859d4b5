-- Facts that the fleet keeps, and who fetches them. This text goes before each verb.
--
-- For each fact two keys of one slot:
--   fact   hash: body · fetched, when its fetch began (µs, the writer's clock) · soft, until when it is fresh, and
--          hard, until when it may be served at all while nothing is wrong (µs, this server's clock)
--   lease  hash: token of the process that fetches · ends (µs) · wanted, the token whose fetch somebody waits for

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

-- What is none of ours, whoever wrote it there, is as good as nothing, and makes room.
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
