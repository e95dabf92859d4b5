-- Look for facts, and settle who fetches those that are missing or grow old: one process of the whole fleet.
--
-- KEYS     for each fact two: the fact and its lease
--   fact   hash: body · fetched, when its fetch began (µs, the writer's clock) · soft, until when it is fresh, and
--          hard, until when it may be served at all while nothing is wrong (µs, this server's clock)
--   lease  hash: token of the process that fetches · ends (µs) · wanted, where somebody waits for it
-- ARGV     1 token · 2 lease, ms · then for each fact: `fetched` of a copy that the caller cannot use, or 0
-- reply    for each fact: {who, µs, body, fetched, µs to soft, µs to hard}
--          who fetches it: nobody (it is fresh), you, or somebody else, whose lease lasts so many µs; body nil: there
--          is none, or none but the one that the caller cannot use

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local function fetcher(lease, waits)
  local held = redis.call('HMGET', lease, 'token', 'ends')
  local left = tonumber(held[2] or 0) - now
  if left > 0 and held[1] ~= ARGV[1] then
    if waits then redis.call('HSET', lease, 'wanted', 1) end
    return 'other', left
  end
  redis.call('HSET', lease, 'token', ARGV[1], 'ends', string.format('%.0f', now + ARGV[2] * 1000))
  redis.call('PEXPIRE', lease, ARGV[2])
  return 'you', 0
end

-- What is no fact of ours, whoever wrote it there, is as good as nothing, and will be overwritten.
local function read(key)
  local fact = redis.pcall('HMGET', key, 'body', 'fetched', 'soft', 'hard')
  if fact.err then
    redis.call('DEL', key)
    return false, false, 0, 0
  end
  local readable = fact[1] and fact[2] and string.match(fact[2], '^%d+$')
  return readable and fact[1], fact[2], tonumber(fact[3] or 0) or 0, tonumber(fact[4] or 0) or 0
end

local replies = {}
for place = 1, #KEYS, 2 do
  local body, fetched, soft, hard = read(KEYS[place])
  if fetched == ARGV[(place + 5) / 2] then body = false end
  local who, left = 'nobody', 0
  if not body or soft <= now then who, left = fetcher(KEYS[place + 1], not body or hard <= now) end
  replies[#replies + 1] = body and {who, left, body, fetched, soft - now, hard - now} or {who, left, false, false, 0, 0}
end
return replies
