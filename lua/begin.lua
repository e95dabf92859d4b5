-- Check the claim right before the first byte. From now on, a claim that runs out without an outcome leaves a doubt.
--
-- KEYS[1]  the record
-- ARGV     1 token · 2 fence · 3 lease, µs · 4 TTL of the record, ms
-- reply    1, or 0 if another process took the claim: nothing may be sent. A claim that ran out untaken is still ours

if not (claimed and owned(ARGV[1], ARGV[2])) then return 0 end

redis.call('HSET', KEYS[1], 'state', 'transmitting', 'lease', integer(now + ARGV[3]))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
