-- Keep the report of one process, and a sample of it in a ring.
--
-- KEYS[1]  hash: at (µs) · seq, the number of the report · data, the report · 0 … RING_SAMPLES - 1, the samples
-- KEYS[2]  sorted set: every process that has reported and not stopped, by the time of its last report (µs)
-- ARGV     1 process · 2 report · 3 sample · 4 milliseconds after which both are forgotten
-- reply    the time of the report, µs
--
-- The time is that of Redis: whoever reads the reports compares all of them with one clock.
-- Names in capitals are constants: notification_sender/adapters/redis/constants.py.

local clock = redis.call('TIME')
local now = clock[1] * SECOND + clock[2]
local text = string.format('%.0f', now)

local seq = redis.call('HINCRBY', KEYS[1], 'seq', 1)
redis.call('HSET', KEYS[1], 'at', text, 'data', ARGV[2], tostring(seq % RING_SAMPLES), text .. ' ' .. ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('ZADD', KEYS[2], text, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now - ARGV[4] * 1000))
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return text
