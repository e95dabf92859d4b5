-- Look up facts, and decide which process of the fleet fetches a fact that is missing or no longer fresh.
--
-- KEYS     for each fact two: the fact and its lease
-- ARGV     1 token of the fetch · 2 lease, ms · then for each fact: `fetched` of a fact that the caller cannot use, or 0
-- reply    for each fact: {who, µs, body, fetched, µs to soft, µs to hard}
--          who fetches: nobody (the fact is fresh), you, or other (its lease lasts for µs); body nil: there is no fact,
--          or only the one that the caller cannot use

local function fetcher(lease, waits)
  local held = fields(lease, 'token', 'ends')
  local left = number(held[2]) - now
  -- A lease that lasts longer than any was written before this server's clock was set back, or by another program.
  if left > 0 and left <= ARGV[2] * 1000 and held[1] ~= ARGV[1] then
    if waits then redis.call('HSET', lease, 'wanted', held[1]) end
    return 'other', left
  end
  hold(lease, ARGV[1], ARGV[2])
  return 'you', 0
end

local function read(key)
  local fact = fields(key, 'body', 'fetched', 'soft', 'hard')
  local readable = fact[1] and fact[2] and #fact[2] <= TIME_DIGITS and string.match(fact[2], '^%d+$')
  return readable and fact[1], fact[2], number(fact[3]), number(fact[4])
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
