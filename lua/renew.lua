-- Extend a claim.
--
-- KEYS[1]  the record
-- ARGV     1 token · 2 fence · 3 lease, µs · 4 TTL of the record, ms
-- reply    1, or 0 if another process took the claim

if not (claimed and owned(ARGV[1], ARGV[2])) then return 0 end

-- Before HSET, so that the renewal succeeds even if Redis is full: see settle.lua.
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('HSET', KEYS[1], 'lease', integer(now + ARGV[3]))
return 1
