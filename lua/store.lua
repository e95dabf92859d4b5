-- Store fetched facts, give up their leases, and notify the processes that wait for them.
--
-- KEYS     for each fact two: the fact and its lease
-- ARGV     1 token of the fetch · 2 channel · 3 error, or nothing · then for each fact five: body (empty: there is
--          nothing to store) · fetched, µs · ms to soft · ms to hard · TTL, ms
-- message  on the channel, for each fact that a process waits for: the key of the fact, a line break, the error
--
-- The result of a fetch that lost its lease is dropped: another process fetches, or has fetched, a newer one.

local function write(fact, body, fetched, soft, hard, ttl)
  redis.call('HSET', fact, 'body', body, 'fetched', fetched,
    'soft', string.format('%.0f', now + soft * 1000), 'hard', string.format('%.0f', now + hard * 1000))
  redis.call('PEXPIRE', fact, ttl)
end

for place = 1, #KEYS, 2 do
  local fact, lease = KEYS[place], KEYS[place + 1]
  local body, fetched, soft, hard, ttl = unpack(ARGV, (place - 1) / 2 * 5 + 4, (place - 1) / 2 * 5 + 8)
  local held = fields(lease, 'token', 'ends', 'wanted')
  local live = number(held[2]) > now
  local ours = live and held[1] == ARGV[1]
  local since = number(fields(fact, 'fetched')[1])
  -- No lease: the store was flushed, or ours ran out and no process took over. This fact is better than none.
  local newest = not live and since < tonumber(fetched)
  if body ~= '' and (ours or newest) then write(fact, body, fetched, soft, hard, ttl) end
  if ours then
    redis.call('DEL', lease)
    if held[3] == ARGV[1] then redis.call('PUBLISH', ARGV[2], fact .. '\n' .. ARGV[3]) end
  end
end
