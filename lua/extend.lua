-- Go on holding leases on facts that are still being fetched.
--
-- KEYS     the leases, as in lease.lua
-- ARGV     1 token · 2 lease, ms

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

for _, lease in ipairs(KEYS) do
  local held = redis.call('HMGET', lease, 'token', 'ends')
  if held[1] == ARGV[1] and tonumber(held[2]) > now then
    redis.call('HSET', lease, 'ends', string.format('%.0f', now + ARGV[2] * 1000))
    redis.call('PEXPIRE', lease, ARGV[2])
  end
end
