-- Register a unit with its batch.
--
-- KEYS[1]  hash of the organization's batch: `size` is its announced number of units, every other field is a unit
-- ARGV     1 unit · 2 size · 3 TTL, ms

redis.call('HSET', KEYS[1], ARGV[1], '', 'size', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
