-- Append a deferral to the story. It changes nothing in the record: nothing was claimed yet.
--
-- KEYS[1]  the record
-- ARGV     1 the deferral, for the story: JSON · 2 delay, µs · 3 process · 4 TTL of the story, ms
-- reply    1

append(KEYS[1], string.sub(ARGV[1], 1, -2), now + ARGV[2], true)
return 1
