-- Record how it ended, or give the claim up. Only whoever holds the claim may; saying it twice is no harm.
--
-- KEYS[1]  the record
-- KEYS[2]  where given: switches the destination off, for as long as it is there
-- ARGV     1 token · 2 fence, 0 for what was never claimed: then only where nobody holds it and nothing is over
--          3 new state · 4 attempt, of what is given up · 5 text · 6 notifications · 7 TTL of the record, ms
--          8 TTL of KEYS[2], ms
-- reply    1, or 0 if the claim is not ours any more: then nothing was written

local token, fence, state, attempt, text, notifications, ttl = unpack(ARGV, 1, 7)

if fence == '0' then
  if over or claimed and record.lease > now then return 0 end
else
  if not owned(token, fence) then return 0 end
  if not claimed then return record.state == state and 1 or 0 end
end

-- First something that takes no memory: after that Redis lets a script go on even where it is full.
redis.call('HDEL', KEYS[1], 'lease', 'takeovers', 'limit', 'due')
redis.call('HSET', KEYS[1], 'state', state)
if state == 'waiting' then
  redis.call('HSET', KEYS[1], 'attempt', attempt)
else
  redis.call('HSET', KEYS[1], 'text', text)
end
if notifications ~= '' then redis.call('HSET', KEYS[1], 'notifications', notifications) end
redis.call('PEXPIRE', KEYS[1], ttl)
if KEYS[2] then redis.call('SET', KEYS[2], '1', 'PX', ARGV[8]) end
return 1
