-- Keep what a destination that is off was not sent, the latest WITHHELD_KEPT of it.
--
-- KEYS[1]  list of the destination: messages that can be moved back, the oldest first
-- ARGV     1 message · 2 TTL, ms
-- reply    1

redis.call('RPUSH', KEYS[1], ARGV[1])
redis.call('LTRIM', KEYS[1], -WITHHELD_KEPT, -1)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
